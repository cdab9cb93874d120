/** HMP, the human monitor protocol: a prompt with line editing, for people and for scripts that wait for the prompt. */
import type { Chardev, Frontend } from "../../chardev/chardev.ts";
import type { Waiter } from "../../sys/poll.ts";
import type { CommandContext } from "../commands/command.ts";
import type { Monitor } from "../monitor.ts";
import { OutputQueue } from "../output-queue.ts";
import { banner } from "../version.ts";
import { toCrlf } from "./command-line.ts";
import { complete } from "./completion.ts";
import { LineEditor } from "./line-editor.ts";

const PROMPT = "(qemu) ";
/** The editor echoes each key, so a small limit bounds the output that one read can queue. */
const MAX_KEYS_AT_ONCE = 128;

/** A monitor in readline mode. */
export class HmpMonitor implements Frontend, Monitor {
  readonly #output: OutputQueue;
  readonly #editor: LineEditor;
  #decoder = new TextDecoder();
  /** How many clients have disconnected. */
  #disconnects = 0;

  constructor(
    private readonly context: CommandContext,
    chardev: Chardev,
  ) {
    this.#output = new OutputQueue(chardev);
    this.#editor = new LineEditor({
      prompt: PROMPT,
      print: (text) => this.#output.write(toCrlf(text)),
      submit: (line) => this.#run(line),
      complete: (text) => complete(this.context.machine, text),
    });
  }

  canReceive(): number {
    return this.#output.isFull ? 0 : MAX_KEYS_AT_ONCE;
  }

  receive(bytes: Uint8Array): void {
    const before = this.#disconnects;
    for (const character of this.#decoder.decode(bytes, { stream: true })) {
      this.#editor.key(character);
      // Writing the echo may find the client gone. The rest of its input must not reach the next client's line.
      if (this.#disconnects !== before) return;
    }
  }

  opened(): void {
    // The previous client may have left an incomplete UTF-8 sequence.
    this.#decoder = new TextDecoder();
    this.#output.write(toCrlf(banner()));
    this.#editor.prompt();
  }

  closed(): void {
    this.#disconnects++;
    this.#output.clear();
    this.#editor.reset();
  }

  focusChanged(focused: boolean): void {
    if (focused) this.#editor.prompt();
    else this.#output.write("\r\n");
  }

  /** HMP has no events. */
  emitEvent(): void {}

  flush(): void {
    this.#output.flush();
  }

  addWaiters(list: Waiter[]): void {
    this.#output.addWaiters(list);
  }

  #run(line: string): void {
    this.#output.write(this.context.runLine(line));
    this.#editor.prompt();
  }
}
