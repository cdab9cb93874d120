/** HMP's `help` and `info`: lists of commands, one line each. */
import type { Command } from "../commands/command.ts";

/** What the names of the info commands start with. */
export const INFO_PREFIX = "info ";
const INFO_LINE = "info [subcommand] -- show information about the enclave\n";

/** Returns what `help NAME` prints: all commands without a name, the info subcommands for "info". */
export function hmpHelp(commands: readonly Command[], name: string): string {
  const hmpCommands = commands.filter(({ hmp }) => hmp !== undefined);
  if (name === "")
    return [...hmpCommands.filter((row) => !isInfo(row)).map(helpLine), INFO_LINE].sort().join("");
  if (name === "info") return hmpCommands.filter(isInfo).map(helpLine).sort().join("");
  const [first = "", second = ""] = name.split(/\s+/);
  const fullName = first === "info" ? INFO_PREFIX + second : first;
  const command = hmpCommands.find(({ hmp }) => hmp?.includes(fullName));
  return command === undefined ? `unknown command: '${name}'\n` : helpLine(command);
}

function isInfo({ hmp }: Command): boolean {
  return hmp?.[0]?.startsWith(INFO_PREFIX) ?? false;
}

function helpLine({ hmp = [], hmpArgs, args = {}, help }: Command): string {
  const usage = hmpArgs?.usage ?? Object.keys(args).join(" ");
  return `${hmp.join("|")} ${usage} -- ${help}\n`;
}
