/**
 * The program as a citty command: its name, version and description, and its subcommands, each loaded when it is named.
 * Launches do not come here: they have QEMU's syntax, and need nothing of what only subcommands use.
 */
import { type ArgsDef, defineCommand, runCommand } from "citty";
import { version } from "../../../package.json" with { type: "json" };
import { LAUNCH_SYNTAX } from "../command-line.ts";
import { subcommandArgs } from "../subcommand-args.ts";
import { commandHelp, HELP_ARG, summaries } from "../subcommand-help.ts";
import { findCommand } from "./find-command.ts";
import {
  isGroup,
  type SubcommandContext,
  type SubcommandGroup,
  type SubcommandResult,
} from "./subcommand.ts";

const meta = {
  name: "",
  version,
  description: "launches AWS Nitro Enclaves with QEMU's command line",
} as const;

/** nitro, with its subcommands. */
export const nitro: SubcommandGroup = {
  ...defineCommand({ meta }),
  meta,
  subCommands: {
    check: async () => (await import("./check.ts")).checkCommand,
    pool: async () => (await import("./pool.ts")).poolCommand,
    eif: async () => (await import("./eif.ts")).eifCommands,
    help: async () => (await import("./help.ts")).helpCommand(nitro),
    version: async () => (await import("./version.ts")).versionCommand,
    licenses: async () => (await import("./licenses.ts")).licensesCommand,
  },
};

/** Runs the subcommand that the arguments name; `-help` alone prints the help of a launch. Throws UserError. */
export async function runSubcommand(
  args: readonly string[],
  context: SubcommandContext,
): Promise<SubcommandResult> {
  const { command, rest } = await findCommand(nitro, args);
  if (command === nitro) return { output: await programHelp() };
  if (isGroup(command)) return { output: await commandHelp(command) };
  const parsed = subcommandArgs(rest, {
    args: { ...command.args, help: HELP_ARG },
    command: `nitro ${command.meta.name}`,
    launch: command.launchOptions ? LAUNCH_SYNTAX : undefined,
  });
  if (parsed.has("help")) return { output: await commandHelp(command) };
  const { result } = await runCommand<ArgsDef>(command, { rawArgs: [], data: { context, args: parsed } });
  return result as SubcommandResult;
}

/** Returns what `nitro -help` prints. */
async function programHelp(): Promise<string> {
  // Describing the option table builds the schemas of all options; other commands do without.
  const { launchHelp } = await import("../help.ts");
  return launchHelp(`nitro ${version}: ${meta.description}`, await summaries(nitro));
}
