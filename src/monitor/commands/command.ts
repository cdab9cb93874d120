/** What a command is: one row, served as HMP and as QMP. */
import { UserError } from "../../sys/errors.ts";
import type { Json } from "../json.ts";
import type { MachineView } from "../machine-view.ts";

/** QMP's classes of errors that are met here. */
export type ErrorClass = "GenericError" | "CommandNotFound" | "DeviceNotFound";

/** A command that was refused; HMP prints `Error: ` and the words. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(
    message: string,
    readonly kind: ErrorClass = "GenericError",
  ) {
    super(message);
  }
}

/**
 * What a client is told of an error: the enclave must not end because a command met what nobody thought of. What is no
 * error of the command's (a signal that ends the launch) is thrown on.
 */
export function refusal(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (error instanceof UserError) return new CommandError(error.message);
  if (error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError) {
    return new CommandError(`a fault of nitro's own: ${error.message}`);
  }
  throw error;
}

/** An argument's type in QMP; a question mark says that it may be left out. */
export type ArgumentType = "str" | "int" | "bool" | "any" | "ChardevBackend" | "strList";
export type ArgumentTypes = Readonly<Record<string, ArgumentType | `${ArgumentType}?`>>; // by the argument's name

/** Arguments that have been checked against their types. */
export type Arguments = Readonly<Record<string, Json>>;

/** What a command works on. */
export interface CommandContext {
  readonly machine: MachineView;
  /** Tells every monitor of an event. */
  readonly emitEvent: (event: string, data?: Arguments) => void;
  /** Runs one line of HMP and gives what it prints. */
  readonly runLine: (line: string) => string;
}

/** A command. */
export interface Command {
  /** QMP's name for it; undefined where it is HMP's alone. */
  readonly qmp?: string;
  /** HMP's names for it, the first being the one that help shows; undefined where it is QMP's alone. */
  readonly hmp?: readonly string[];
  /** What help says of it. */
  readonly help: string;
  readonly args?: ArgumentTypes;
  /** How HMP reads its arguments, where that differs from the names of `args` in order. */
  readonly words?: HmpWords;
  /** Does it. Throws CommandError. */
  run(context: CommandContext, args: Arguments): Json;
  /** What HMP prints of the answer; nothing where it is left out. Lines end with a line feed. */
  show?(answer: Json, args: Arguments): string;
}

/** HMP's arguments. */
export interface HmpWords {
  /** As help shows them. */
  readonly usage: string;
  /** The arguments that are read, in their order; the last one of type "rest" takes the rest of the line. */
  readonly read: readonly {
    readonly name: string;
    readonly type: "str" | "int" | "rest";
    readonly optional?: true;
  }[];
  /** Flags such as -j, by the argument that they set. */
  readonly flags?: Readonly<Record<string, string>>;
}

/** An argument that is text. */
export function text(args: Arguments, name: string): string {
  const value = args[name];
  return typeof value === "string" ? value : "";
}

/** An argument that is a whole number. */
export function whole(args: Arguments, name: string): number {
  const value = args[name];
  return typeof value === "number" ? value : 0;
}

/** A member of an answer that is an object. */
export function member(answer: Json, name: string): Json {
  if (answer === null || typeof answer !== "object" || Array.isArray(answer)) return null;
  return (answer as Arguments)[name] ?? null;
}

/** The items of an answer that is a list. */
export function items(answer: Json): readonly Json[] {
  return Array.isArray(answer) ? answer : [];
}
