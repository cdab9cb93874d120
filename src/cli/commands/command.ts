/**
 * The program as a citty command: its name, version and description, and its subcommands, each loaded when it is named.
 * A launch does not come this way. QEMU's syntax is not citty's, which drops repeats, takes unknown options in silence
 * and reads the value in `-append -h` as a request for help; and a launch should not wait for what it does not need.
 */
import { type CommandDef, defineCommand, runCommand } from "citty";
import { version } from "../../../package.json" with { type: "json" };
import type { System } from "../../sys/system.ts";
import { positionalWord } from "../argv.ts";
import { helpText, type SubcommandName, versionText } from "../help.ts";

/** What a command gives: text for standard output, and the exit status. */
export interface Printed {
  readonly print: string;
  /** 0 where it is left out. */
  readonly status?: number;
}

/** What a command is given beside its words. */
export interface Surroundings {
  readonly system: System;
  /** Says a line on standard error. */
  readonly report: (line: string) => void;
  /** Writes to standard error as it is, for what is drawn over there. */
  readonly toStderr: (text: string) => void;
  /** The descriptor of standard output, for what is no text. */
  readonly stdout: number;
}

/** A subcommand: its citty definition for these surroundings, whose `run` gives what is printed. */
export type Subcommand = (around: Surroundings) => CommandDef;

const commands: Readonly<Record<SubcommandName, () => Promise<Subcommand>>> = {
  check: async () => (await import("./check.ts")).checkCommand,
  pool: async () => (await import("./pool.ts")).poolCommand,
  eif: async () => (await import("./eif.ts")).eif,
};

const nitro = defineCommand({
  meta: { name: "nitro", version, description: "launches an AWS Nitro Enclave with QEMU's command line" },
});

/** What `-help` or `-version` print, from the command's own name, version and description. */
export async function programText(topic: "help" | "version"): Promise<string> {
  const meta = typeof nitro.meta === "function" ? await nitro.meta() : await nitro.meta;
  const { name = "", version: number = "", description = "" } = meta ?? {};
  return topic === "help" ? helpText(`${name} ${number}: ${description}`) : versionText(`${name} ${number}`);
}

/** Runs the subcommand that the first word names. Throws UserError where there is none of that name. */
export async function runSubcommand(words: readonly string[], around: Surroundings): Promise<Printed> {
  const [name = "", ...rest] = words;
  const load = Object.hasOwn(commands, name) ? commands[name as SubcommandName] : undefined;
  if (load === undefined) throw positionalWord(name, Object.keys(commands));
  const command = (await load())(around);
  const { result } = await runCommand(command, { rawArgs: rest });
  return printed(result);
}

function printed(result: unknown): Printed {
  if (typeof result === "object" && result !== null && "print" in result) {
    const status = "status" in result && typeof result.status === "number" ? result.status : 0;
    return { print: String(result.print), status };
  }
  return { print: String(result ?? "") };
}
