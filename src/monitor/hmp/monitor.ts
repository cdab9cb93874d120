/** HMP: QEMU's monitor for people, and for the scripts that wait for its prompt. */
import type { Chardev, Frontend } from "../../chardev/chardev.ts";
import type { Waiter } from "../../sys/poll.ts";
import type { CommandContext } from "../commands/command.ts";
import { objectTree, propertiesOf, resolve } from "../commands/qom-tree.ts";
import { commandNames, crlf } from "../commands/table.ts";
import type { Monitor } from "../monitors.ts";
import { OutputQueue } from "../output-queue.ts";
import { banner } from "../version.ts";
import { LineEditor } from "./line-editor.ts";

const PROMPT = "(qemu) ";
/** Each key is drawn at once; a few at a time keep what has to be said bounded. */
const KEYS_AT_ONCE = 128;

/** A monitor in readline mode. */
export class HmpMonitor implements Frontend, Monitor {
  readonly #output: OutputQueue;
  readonly #editor: LineEditor;
  #decoder = new TextDecoder();
  /** Counts the clients that have gone. */
  #gone = 0;

  constructor(
    private readonly context: CommandContext,
    line: Chardev,
  ) {
    this.#output = new OutputQueue(line);
    this.#editor = new LineEditor({
      prompt: PROMPT,
      show: (text) => this.#output.say(crlf(text)),
      enter: (text) => this.#run(text),
      complete: (before) => this.#complete(before),
    });
  }

  canReceive(): number {
    return this.#output.isFull ? 0 : KEYS_AT_ONCE;
  }

  receive(bytes: Uint8Array): void {
    const before = this.#gone;
    for (const character of this.#decoder.decode(bytes, { stream: true })) {
      this.#editor.key(character);
      // Its own echo may be what tells that it has gone: the rest is nobody's, and must not stand before the next one.
      if (this.#gone !== before) return;
    }
  }

  opened(): void {
    // Half a character of the client before is none of this one's.
    this.#decoder = new TextDecoder();
    this.#output.say(crlf(banner()));
    this.#editor.prompt();
  }

  closed(): void {
    this.#gone++;
    this.#output.clear();
    this.#editor.reset();
  }

  focusChanged(on: boolean): void {
    if (on) this.#editor.prompt();
    else this.#output.say("\r\n");
  }

  /** Events are QMP's. */
  emitEvent(): void {}

  flush(): void {
    this.#output.flush();
  }

  addWaiters(list: Waiter[]): void {
    this.#output.addWaiters(list);
  }

  #run(line: string): void {
    this.#output.say(crlf(this.context.runLine(line)));
    this.#editor.prompt();
  }

  /** Commands at the head of the line and after info and help; of the commands of objects, paths and properties. */
  #complete(before: string) {
    const words = before.trimStart().split(/\s+/);
    const word = words.at(-1) ?? "";
    const [first = "", second = ""] = words;
    const begins = (names: readonly string[]) => ({
      word,
      candidates: names.filter((name) => name.startsWith(word)),
    });
    if (words.length === 1) return begins(commandNames(false));
    if (words.length === 2 && first === "help") return begins(commandNames(false));
    if (first === "info" && words.length === 2) return begins(commandNames(true));
    if (first.startsWith("chardev-") && words.length === 2) {
      return begins(this.context.machine.chardevs.list().map(({ label }) => label));
    }
    if (!first.startsWith("qom-")) return begins([]);
    const root = objectTree(this.context.machine);
    try {
      if (words.length === 3) return begins(propertiesOf(resolve(root, second)[1]).map(({ name }) => name));
      const directory = word.slice(0, word.lastIndexOf("/") + 1);
      const { children } = resolve(root, directory === "" ? "/" : directory)[1];
      return begins(Object.keys(children).map((name) => `${directory === "" ? "/" : directory}${name}`));
    } catch {
      return begins([]);
    }
  }
}
