/** QMP, the machine protocol (docs/interop/qmp-spec.rst): greeting, capabilities negotiation, commands and events. */
import type { Chardev, Frontend } from "../../chardev/chardev.ts";
import type { Waiter } from "../../sys/poll.ts";
import { type Arguments, type CommandContext, CommandError, toCommandError } from "../commands/command.ts";
import { findQmpCommand } from "../commands/table.ts";
import { validateArguments } from "../commands/validate.ts";
import { encodeJson, type Json } from "../json.ts";
import type { Monitor } from "../monitor.ts";
import { OutputQueue } from "../output-queue.ts";
import { versionInfo } from "../version.ts";
import { JsonError } from "./json-parser.ts";
import { JsonStream } from "./json-stream.ts";
import { checkCapabilities, parseRequest, requestId } from "./request.ts";

const NEGOTIATE = "qmp_capabilities";
const READ_BYTES = 4096;

/** A monitor in control mode. A client's session lasts from `opened` to `closed`. */
export class QmpMonitor implements Frontend, Monitor {
  readonly #output: OutputQueue;
  /** The client's input; undefined while no client is connected. */
  #input: JsonStream | undefined;
  #negotiated = false;

  constructor(
    private readonly context: CommandContext,
    chardev: Chardev,
    private readonly pretty: boolean,
  ) {
    this.#output = new OutputQueue(chardev);
  }

  canReceive(): number {
    return this.#output.isFull ? 0 : READ_BYTES;
  }

  receive(bytes: Uint8Array): void {
    this.#input?.push(bytes);
  }

  opened(): void {
    this.#negotiated = false;
    this.#input = new JsonStream((value) => this.#respond(value));
    this.#send({ QMP: { version: versionInfo(this.context.machine.version), capabilities: [] } });
  }

  closed(): void {
    this.#input = undefined;
    this.#output.clear();
  }

  /** Sends an event, unless the client has not negotiated yet or leaves too much output unread. */
  emitEvent(event: string, data: Arguments | undefined, atMicroseconds: number): void {
    if (this.#input === undefined || !this.#negotiated || this.#output.dropsEvents) return;
    const timestamp = {
      seconds: Math.floor(atMicroseconds / 1e6),
      microseconds: Math.floor(atMicroseconds % 1e6),
    };
    this.#send(data === undefined ? { timestamp, event } : { timestamp, event, data });
  }

  flush(): void {
    this.#output.flush();
  }

  addWaiters(list: Waiter[]): void {
    this.#output.addWaiters(list);
  }

  #send(value: Json): void {
    this.#output.write(`${encodeJson(value, this.pretty)}\r\n`);
  }

  #respond(input: Json | JsonError): void {
    const id = input instanceof JsonError ? undefined : requestId(input);
    try {
      if (input instanceof JsonError) throw new CommandError(input.message);
      const result = this.#execute(input);
      this.#send(id === undefined ? { return: result } : { return: result, id });
    } catch (thrown) {
      const { errorClass, message } = toCommandError(thrown);
      const error = { class: errorClass, desc: message };
      this.#send(id === undefined ? { error } : { id, error });
    }
  }

  #execute(input: Json): Json {
    const { execute, args } = parseRequest(input);
    if (execute === NEGOTIATE) {
      checkCapabilities(args, this.#negotiated);
      this.#negotiated = true;
      return {};
    }
    if (!this.#negotiated)
      throw new CommandError(`Expecting capabilities negotiation with '${NEGOTIATE}'`, "CommandNotFound");
    const command = findQmpCommand(execute);
    if (command === undefined)
      throw new CommandError(`The command ${execute} has not been found`, "CommandNotFound");
    return command.run(this.context, validateArguments(command, args));
  }
}
