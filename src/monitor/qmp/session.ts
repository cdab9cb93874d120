/** QMP: the monitor for programs. A greeting, the negotiation of capabilities, then commands and events. */
import type { Chardev, Frontend } from "../../chardev/chardev.ts";
import type { Waiter } from "../../sys/poll.ts";
import { type Arguments, type CommandContext, CommandError, refusal } from "../commands/command.ts";
import { qmpCommand } from "../commands/table.ts";
import { checkArguments } from "../commands/validate.ts";
import { encodeJson, type Json } from "../json.ts";
import type { Monitor } from "../monitors.ts";
import { OutputQueue } from "../output-queue.ts";
import { qemuVersion } from "../version.ts";
import { JsonError, JsonStream } from "./json-stream.ts";

const NEGOTIATE = "qmp_capabilities";
const READ_AT_ONCE = 4096;

/** A monitor in control mode. */
export class QmpMonitor implements Frontend, Monitor {
  readonly #output: OutputQueue;
  #input: JsonStream | undefined;
  #negotiated = false;

  constructor(
    private readonly context: CommandContext,
    line: Chardev,
    private readonly pretty: boolean,
  ) {
    this.#output = new OutputQueue(line);
  }

  canReceive(): number {
    return this.#output.isFull ? 0 : READ_AT_ONCE;
  }

  receive(bytes: Uint8Array): void {
    this.#input?.push(bytes);
  }

  opened(): void {
    this.#negotiated = false;
    this.#input = new JsonStream((value) => this.#answer(value));
    this.#say({ QMP: { version: qemuVersion(this.context.machine.version), capabilities: [] } });
  }

  closed(): void {
    this.#input = undefined;
    this.#output.clear();
  }

  /** Tells of an event; a client that reads none of them is spared further ones. */
  emitEvent(event: string, data: Arguments | undefined, atMicroseconds: number): void {
    if (this.#input === undefined || !this.#negotiated || this.#output.isOverfull) return;
    const timestamp = {
      seconds: Math.floor(atMicroseconds / 1e6),
      microseconds: Math.floor(atMicroseconds % 1e6),
    };
    this.#say(data === undefined ? { timestamp, event } : { timestamp, event, data });
  }

  flush(): void {
    this.#output.flush();
  }

  addWaiters(list: Waiter[]): void {
    this.#output.addWaiters(list);
  }

  #say(value: Json): void {
    this.#output.say(`${encodeJson(value, this.pretty)}\r\n`);
  }

  #answer(input: Json | JsonError): void {
    const id = identifier(input);
    try {
      if (input instanceof JsonError) throw new CommandError(input.message);
      const value = this.#run(input);
      this.#say(id === undefined ? { return: value } : { return: value, id });
    } catch (error) {
      const { kind, message } = refusal(error);
      const told = { class: kind, desc: message };
      this.#say(id === undefined ? { error: told } : { id, error: told });
    }
  }

  #run(input: Json): Json {
    const { execute, args } = request(input);
    if (execute === NEGOTIATE) {
      checkCapabilities(args, this.#negotiated);
      this.#negotiated = true;
      return {};
    }
    if (!this.#negotiated) {
      throw new CommandError(`Expecting capabilities negotiation with '${NEGOTIATE}'`, "CommandNotFound");
    }
    const command = qmpCommand(execute);
    if (command === undefined) {
      throw new CommandError(`The command ${execute} has not been found`, "CommandNotFound");
    }
    return command.run(this.context, checkArguments(command, args));
  }
}

function identifier(input: Json | JsonError): Json | undefined {
  return isObject(input) && "id" in input ? input["id"] : undefined;
}

function isObject(input: unknown): input is Arguments {
  return typeof input === "object" && input !== null && !Array.isArray(input) && !(input instanceof Error);
}

/** The parts of a command as it came. Throws CommandError. */
function request(input: Json): { readonly execute: string; readonly args: Arguments } {
  if (!isObject(input)) throw new CommandError("QMP input must be a JSON object");
  const args = input["arguments"] ?? {};
  for (const [name, value] of Object.entries(input)) {
    if (name === "execute") {
      if (typeof value !== "string") throw new CommandError("QMP input member 'execute' must be a string");
    } else if (name === "arguments") {
      if (!isObject(value)) throw new CommandError("QMP input member 'arguments' must be an object");
    } else if (name !== "id") throw new CommandError(`QMP input member '${name}' is unexpected`);
  }
  const { execute } = input;
  if (typeof execute !== "string") throw new CommandError("QMP input lacks member 'execute'");
  return { execute, args: isObject(args) ? args : {} };
}

/** No capability is offered, so none can be enabled; and it is asked for once. */
function checkCapabilities(args: Arguments, negotiated: boolean): void {
  const { enable = [], ...others } = args;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new CommandError(`Parameter '${unknown}' is unexpected`);
  if (!Array.isArray(enable)) throw new CommandError("Invalid parameter type for 'enable', expected: array");
  const [wanted] = enable;
  if (wanted !== undefined && typeof wanted !== "string")
    throw new CommandError("Invalid parameter type for 'enable[0]', expected: string");
  if (wanted !== undefined && wanted !== "oob")
    throw new CommandError(`Parameter 'null' does not accept value '${wanted}'`);
  if (negotiated) {
    const why = "Capabilities negotiation is already complete, command ignored";
    throw new CommandError(why, "CommandNotFound");
  }
  if (wanted === "oob") throw new CommandError("Capability 'oob' not available");
}
