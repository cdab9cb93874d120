/** A QMP request: the members of the command object, and the arguments of qmp_capabilities. */
import { type Arguments, CommandError } from "../commands/command.ts";
import type { Json } from "../json.ts";

/** A request that has been checked. */
export interface QmpRequest {
  readonly execute: string;
  readonly args: Arguments;
}

function isObject(input: Json): input is Arguments {
  return typeof input === "object" && input !== null && !Array.isArray(input);
}

/** Returns the request's id, which the response repeats; undefined without one. */
export function requestId(input: Json): Json | undefined {
  return isObject(input) && "id" in input ? input["id"] : undefined;
}

/** Parses a request. Throws CommandError. */
export function parseRequest(input: Json): QmpRequest {
  if (!isObject(input)) throw new CommandError("QMP input must be a JSON object");
  for (const [name, value] of Object.entries(input)) {
    if (name === "execute") {
      if (typeof value !== "string") throw new CommandError("QMP input member 'execute' must be a string");
    } else if (name === "arguments") {
      if (!isObject(value)) throw new CommandError("QMP input member 'arguments' must be an object");
    } else if (name !== "id") throw new CommandError(`QMP input member '${name}' is unexpected`);
  }
  const { execute, arguments: args = {} } = input;
  if (typeof execute !== "string") throw new CommandError("QMP input lacks member 'execute'");
  return { execute, args: isObject(args) ? args : {} };
}

/**
 * Checks the arguments of qmp_capabilities. nitro offers no capability, because it answers every command at once and
 * out-of-band execution (oob) would gain nothing. Throws CommandError.
 */
export function checkCapabilities(args: Arguments, alreadyNegotiated: boolean): void {
  const { enable = [], ...others } = args;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new CommandError(`Parameter '${unknown}' is unexpected`);
  if (!Array.isArray(enable)) throw new CommandError("Invalid parameter type for 'enable', expected: array");
  const [capability] = enable;
  if (capability !== undefined && typeof capability !== "string")
    throw new CommandError("Invalid parameter type for 'enable[0]', expected: string");
  if (capability !== undefined && capability !== "oob")
    throw new CommandError(`Parameter 'null' does not accept value '${capability}'`);
  if (alreadyNegotiated) {
    const message = "Capabilities negotiation is already complete, command ignored";
    throw new CommandError(message, "CommandNotFound");
  }
  if (capability === "oob") throw new CommandError("Capability 'oob' not available");
}
