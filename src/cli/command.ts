/**
 * The program as a citty command: its name, version and description, and its subcommands, of which there are none yet.
 * A launch does not come this way. QEMU's syntax is not citty's, which drops repeats, takes unknown options in silence
 * and reads the value in `-append -h` as a request for help; and a launch should not wait for what it does not need.
 */
import { type CommandDef, defineCommand, runCommand } from "citty";
import { version } from "../../package.json" with { type: "json" };
import { positionalWord } from "./argv.ts";
import { helpText, versionText } from "./help.ts";

/** What a command gives: text to print on standard output; it exits with 0. */
export interface Printed {
  readonly print: string;
}

const commands: Readonly<Record<string, CommandDef>> = {};

const nitro = defineCommand({
  meta: { name: "nitro", version, description: "launches an AWS Nitro Enclave with QEMU's command line" },
  subCommands: { ...commands },
});

/** What `-help` or `-version` print, from the command's own name, version and description. */
export async function programText(topic: "help" | "version"): Promise<string> {
  const meta = typeof nitro.meta === "function" ? await nitro.meta() : await nitro.meta;
  const { name = "", version: number = "", description = "" } = meta ?? {};
  return topic === "help" ? helpText(`${name} ${number}: ${description}`) : versionText(`${name} ${number}`);
}

/** Runs the subcommand that the first word names. Throws Failure where there is none of that name. */
export async function runSubcommand(words: readonly string[]): Promise<Printed> {
  const [name = "", ...rest] = words;
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw positionalWord(name);
  const { result } = await runCommand(command, { rawArgs: [...rest] });
  return { print: String(result ?? "") };
}
