/** The types of a subcommand: a citty command, with what its help shows in addition. */
import { type ArgsDef, type CommandDef, type CommandMeta, defineCommand } from "citty";
import type { System } from "../../sys/system.ts";
import type { SubcommandArgs, SubcommandArgsDef } from "../subcommand-args.ts";

/** The environment of a subcommand. */
export interface SubcommandContext {
  readonly system: System;
  /** Prints a line on standard error. */
  readonly report: (line: string) => void;
  /** Writes text to standard error as it is, for progress bars. */
  readonly toStderr: (text: string) => void;
  /** The file descriptor of standard output, for output that is not text. */
  readonly stdout: number;
}

/** What a subcommand returns: text for standard output, and the exit status. */
export interface SubcommandResult {
  readonly output: string;
  /** Default: 0. */
  readonly status?: number;
}

/** citty's name and description of a command, with what its help shows in addition. */
export interface SubcommandMeta extends CommandMeta {
  /** As it is typed, without `nitro`: `eif build`. */
  readonly name: string;
  /** One line in the imperative, without a full stop. */
  readonly description: string;
  /** The command lines, without `nitro`. */
  readonly usage: readonly string[];
  /** Command lines that work, without `nitro`. */
  readonly examples: readonly string[];
  /** The dashes before options in help; the command line accepts both. Default: one. */
  readonly dashes?: "-" | "--";
  /** Paragraphs after the options. A line that begins with a space is kept as it is. */
  readonly details?: readonly string[];
  readonly exitStatus: string;
  /** The topic of its page in the manual. */
  readonly page?: string;
}

/** What a subcommand is called with. */
export interface SubcommandCall {
  readonly context: SubcommandContext;
  readonly args: SubcommandArgs;
}

/** A subcommand's definition. */
export interface SubcommandDefinition {
  readonly meta: SubcommandMeta;
  /** Its own arguments, in the order of help. Every subcommand has -help, too. */
  readonly args: SubcommandArgsDef;
  /** Whether it accepts the options of a launch. */
  readonly launchOptions?: boolean;
  readonly run: (call: SubcommandCall) => SubcommandResult | Promise<SubcommandResult>;
}

/** A subcommand: a citty command that is run with a SubcommandCall as its data. */
export type Subcommand = Omit<CommandDef, "meta" | "args"> &
  Pick<SubcommandDefinition, "meta" | "args" | "launchOptions">;

/** Commands under a common name, each loaded when it is named. */
export interface SubcommandGroup extends CommandDef {
  /** The name as it is typed, without `nitro`; "" for nitro itself. */
  readonly meta: CommandMeta & { readonly name: string; readonly description: string };
  readonly subCommands: Readonly<Record<string, () => Promise<Subcommand | SubcommandGroup>>>;
}

/** Defines a subcommand. */
export function defineSubcommand({ run, ...definition }: SubcommandDefinition): Subcommand {
  const { meta, args } = definition;
  return { ...defineCommand<ArgsDef>({ meta, args, run: ({ data }) => run(data) }), ...definition };
}

/** Whether a command consists of further commands. */
export function isGroup(command: Subcommand | SubcommandGroup): command is SubcommandGroup {
  return "subCommands" in command && command.subCommands !== undefined;
}
