/** The help of subcommands, from their citty definitions. */
import { isGroup, type Subcommand, type SubcommandGroup } from "./commands/subcommand.ts";
import type { SubcommandArg } from "./subcommand-args.ts";
import { definitionRow, paragraph } from "./wrap.ts";

/** The name and the description of a command. */
export interface CommandSummary {
  /** As it is typed, without `nitro`. */
  readonly name: string;
  readonly description: string;
}

/** -help of every subcommand. */
export const HELP_ARG = { type: "boolean", alias: "h", description: "print this help" } as const;

const TEXT_COLUMN = 8;

/** Returns what `nitro COMMAND -help` prints. */
export async function commandHelp(command: Subcommand | SubcommandGroup): Promise<string> {
  return isGroup(command) ? await groupHelp(command) : subcommandHelp(command);
}

function subcommandHelp({ meta, args }: Subcommand): string {
  const { name, description, usage, examples, details = [], exitStatus, page, dashes = "-" } = meta;
  const lines = usage.map((line, i) => `${i === 0 ? "usage: " : "       "}nitro ${line}\n`);
  const shown = examples.map((line) => `  nitro ${line}\n`);
  const rows = Object.entries<SubcommandArg>({ ...args, help: HELP_ARG });
  const operands = rows.flatMap(([, arg]) => (arg.type === "positional" ? operandRow(arg) : []));
  const options = rows.flatMap(([each, arg]) =>
    arg.type === "positional" ? [] : optionRow(each, arg, dashes),
  );
  const more = details.map((text) => `\n${text.startsWith(" ") ? `${text}\n` : paragraph(text)}`);
  return (
    `nitro ${name}: ${description}\n\n${lines.join("")}\nexamples:\n${shown.join("")}\n` +
    `${operands.length === 0 ? "" : `arguments:\n${operands.join("")}\n`}` +
    `options (with one dash or two):\n${options.join("")}${more.join("")}\n` +
    `exit status: ${exitStatus}\n${page === undefined ? "" : `manual page: nitro help ${page}\n`}`
  );
}

function operandRow({ valueHint = "VALUE", description = "" }: SubcommandArg): string {
  return definitionRow(`  ${valueHint}`, description, TEXT_COLUMN);
}

function optionRow(name: string, arg: SubcommandArg, dashes: string): string {
  const { type, valueHint = "VALUE", alias, description = "" } = arg;
  const names = alias === undefined ? `${dashes}${name}` : `${dashes}${name}, -${alias}`;
  const head = type === "boolean" ? names : `${names} ${valueHint}`;
  return definitionRow(`  ${head}`, description, TEXT_COLUMN);
}

async function groupHelp(group: SubcommandGroup): Promise<string> {
  const { name, description } = group.meta;
  const rows = commandRows(await summaries(group));
  return (
    `nitro ${name}: ${description}\n\nusage: nitro ${name} COMMAND [argument...]\n\n` +
    `commands (each has -help):\n${rows}\nmanual page: nitro help ${name}\n`
  );
}

/** Returns the name and the description of each command of a group. */
export async function summaries(group: SubcommandGroup): Promise<CommandSummary[]> {
  const commands = await Promise.all(Object.values(group.subCommands).map((load) => load()));
  return commands.map(({ meta: { name, description } }) => ({ name, description }));
}

/** Lists commands, a row each. */
export function commandRows(commands: readonly CommandSummary[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + "  nitro ".length + 2;
  return commands
    .map(({ name, description }) => definitionRow(`  nitro ${name}`, description, width))
    .join("");
}
