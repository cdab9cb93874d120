/**
 * The words of a subcommand, by citty's table of its arguments. citty's own reader takes unknown options in silence and
 * drops repeats; this one refuses what it does not know, so nothing that was typed is ignored. `--x V` and `--x=V` are
 * the same.
 */
import type { ArgDef, ArgsDef } from "citty";
import { UserError } from "../sys/errors.ts";

/** What was given: each option's values in their order (one empty text for a flag), and the words that are none. */
export interface SubcommandArgs {
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly words: readonly string[];
}

/**
 * Reads the words after the command's name.
 * @param command as it is typed, for messages: `pool`. @param repeatable names of options that may be given again.
 */
export function subcommandArgs(
  command: string,
  typed: readonly string[],
  table: ArgsDef,
  repeatable: readonly string[] = [],
): SubcommandArgs {
  const values = new Map<string, string[]>();
  const words: string[] = [];
  for (let i = 0; i < typed.length; i++) {
    const word = typed[i] ?? "";
    if (!word.startsWith("-") || word === "-") {
      words.push(word);
      continue;
    }
    const [dashed = word, inWord] = halves(word);
    const name = dashed.replace(/^--?/, "");
    const definition = Object.hasOwn(table, name) ? table[name] : undefined;
    if (definition === undefined || definition.type === "positional") throw unknown(command, dashed, table);
    if (values.has(name) && !repeatable.includes(name)) {
      throw new UserError(dashed, "is given twice", "leave one of them out");
    }
    const value = definition.type === "boolean" ? flagValue(dashed, inWord) : (inWord ?? typed[++i]);
    if (value === undefined) {
      throw new UserError(dashed, "requires an argument", `${dashed} ${definition.valueHint ?? "VALUE"}`);
    }
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return { values, words };
}

function halves(word: string): [dashed: string, value: string | undefined] {
  const equals = word.indexOf("=");
  return equals === -1 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

function flagValue(dashed: string, value: string | undefined): string {
  if (value !== undefined) throw new UserError(dashed, "takes no argument", dashed);
  return "";
}

function unknown(command: string, dashed: string, table: ArgsDef): UserError {
  const names = Object.entries(table)
    .filter(([, { type }]) => type !== "positional")
    .map(([name]) => `--${name}`);
  return new UserError(dashed, "invalid option", `nitro ${command} has ${names.join(", ") || "no options"}`);
}

/** The help of a command, from citty's table of its arguments. @param usage the line after `usage: `. */
export function commandHelp(description: string, usage: string, table: ArgsDef, more = ""): string {
  const rows = Object.entries(table).map(([name, definition]) => optionRow(name, definition));
  return `${description}\n\nusage: ${usage}\n\n${rows.join("")}${more}`;
}

function optionRow(name: string, { type, valueHint, description = "" }: ArgDef): string {
  const head = type === "boolean" ? `--${name}` : `--${name} ${valueHint ?? "VALUE"}`;
  return `  ${head}\n${description.replace(/^/gm, "        ")}\n`;
}
