/** `nitro -help`: examples, the commands, and every option as the option table describes it. */
import { describeOption, helpWithDefault, type OptionDescription } from "./options/describe.ts";
import { OPTION_GROUPS } from "./options/table.ts";
import { type CommandSummary, commandRows } from "./subcommand-help.ts";
import { definitionRow } from "./wrap.ts";

const EXAMPLES = `examples:
  nitro -kernel app.eif
  nitro -m 512M -smp 2 -kernel bzImage -initrd initrd.cpio.gz
  nitro -accel nitro,debug-mode=on -kernel app.eif       # with its console

usage: nitro -kernel FILE [-initrd FILE] [-append TEXT] [option...]
       nitro COMMAND [argument...]
`;

/** The exit statuses of a launch, each with its meaning. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [0, "stopped on request, or powered off"],
  [1, "not launched"],
  [3, "exited before its heartbeat, or stopped because none came"],
  [4, "crashed: kernel panic, or the application failed"],
  [5, "exited by itself, cause unknown"],
];

const HEAD_COLUMN = 8;
const PROPERTY_COLUMN = 36;

/** Returns what `nitro -help` prints. @param title the program's name, version and description. */
export function launchHelp(title: string, commands: readonly CommandSummary[]): string {
  const options = OPTION_GROUPS.map(
    (group) =>
      `\n${group.title}:\n${group.options.map((option) => optionHelp(describeOption(option))).join("")}`,
  );
  const statuses = EXIT_STATUSES.map(([status, meaning]) => `  ${status}  ${meaning}\n`);
  return (
    `${title}\n\n${EXAMPLES}\ncommands (each has -help):\n${commandRows(commands)}\n` +
    `options of a launch (with one dash or two):\n${options.join("")}\n` +
    `exit status:\n${statuses.join("")}\nnitro help lists the pages of the manual.\n`
  );
}

function optionHelp({
  name,
  alias,
  argument,
  help,
  properties,
  default: fallback,
}: OptionDescription): string {
  const names = alias === undefined ? `-${name}` : `-${name}, -${alias}`;
  const head = argument === undefined ? names : `${names} ${argument}`;
  const rows = properties.map((property) =>
    definitionRow(`          ${property.name}=${property.form}`, helpWithDefault(property), PROPERTY_COLUMN),
  );
  return `${definitionRow(`  ${head}`, helpWithDefault({ help, default: fallback }), HEAD_COLUMN)}${rows.join("")}`;
}
