/** A monitor command: one table row that serves both HMP and QMP. */
import { UserError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import type { Json } from "../json.ts";
import type { MachineView } from "../machine-view.ts";

/** The QMP error classes in use (QAPI: QapiErrorClass). */
export type ErrorClass = "GenericError" | "CommandNotFound" | "DeviceNotFound";

/** A command that failed. QMP returns the message as `desc`; HMP prints it after "Error: ". */
export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(
    message: string,
    readonly errorClass: ErrorClass = "GenericError",
  ) {
    super(message);
  }
}

/**
 * Converts an error of a command for the client. An internal error must not terminate the enclave either, so the
 * engine's error types are reported as well. Anything else, such as a cancellation, is thrown again.
 */
export function toCommandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (error instanceof UserError) return new CommandError(error.message);
  if (error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError) {
    return new CommandError(`internal error in nitro: ${error.message}`);
  }
  throw error;
}

/** An argument's type in the QAPI schema. */
export type ArgumentType = "str" | "int" | "bool" | "any" | "ChardevBackend" | "strList";

/** A command's arguments by name; a question mark marks an optional one. */
export type ArgumentTypes = Readonly<Record<string, ArgumentType | `${ArgumentType}?`>>;

/** Arguments that have been checked against their types. */
export type Arguments = Readonly<Record<string, Json>>;

/** What a command operates on. */
export interface CommandContext {
  readonly machine: MachineView;
  /** Emits a QMP event on every monitor. */
  readonly emitEvent: (event: string, data?: Arguments) => void;
  /** Returns a descriptor that the client passed with the command (SCM_RIGHTS); the command owns it. */
  readonly takeDescriptor: () => Fd | undefined;
  /** Runs an HMP line and returns its output, with CRLF line ends. */
  readonly runLine: (line: string) => string;
}

/** A row of the command table. */
export interface Command {
  /** The QMP name; undefined for a command of HMP only. */
  readonly qmp?: string;
  /** The HMP names, the main one first; undefined for a command of QMP only. */
  readonly hmp?: readonly string[];
  /** What HMP's help prints. */
  readonly help: string;
  readonly args?: ArgumentTypes;
  /** How HMP reads the arguments, unless each is a string in the order of `args`. */
  readonly hmpArgs?: HmpArguments;
  /** Runs the command and returns QMP's return value. Throws CommandError. */
  run(context: CommandContext, args: Arguments): Json;
  /** Formats the return value for HMP, with line feeds as line ends. Without it, HMP prints nothing. */
  print?(result: Json, args: Arguments): string;
}

/** A command's HMP syntax. */
export interface HmpArguments {
  /** The syntax as help prints it. */
  readonly usage: string;
  /** The arguments in order. Type "rest" takes the rest of the line and comes last. */
  readonly positional: readonly {
    readonly name: string;
    readonly type: "str" | "int" | "rest";
    readonly optional?: true;
  }[];
  /** Flags such as -j, with the argument that each sets to true. */
  readonly flags?: Readonly<Record<string, string>>;
}

/** Returns a string argument; "" if it is absent. */
export function stringArgument(args: Arguments, name: string): string {
  const value = args[name];
  return typeof value === "string" ? value : "";
}

/** Returns an integer argument; 0 if it is absent. */
export function integerArgument(args: Arguments, name: string): number {
  const value = args[name];
  return typeof value === "number" ? value : 0;
}

/** Returns a member of a result that is an object; null if it is absent. */
export function memberOf(result: Json, name: string): Json {
  if (result === null || typeof result !== "object" || Array.isArray(result)) return null;
  return (result as Arguments)[name] ?? null;
}

/** Returns the items of a result that is an array. */
export function itemsOf(result: Json): readonly Json[] {
  return Array.isArray(result) ? result : [];
}
