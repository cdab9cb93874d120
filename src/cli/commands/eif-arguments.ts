/** How eif's commands read their words and give what they print. */
import { type ArgsDef, defineCommand } from "citty";
import { UserError } from "../../sys/errors.ts";
import { commandHelp, type SubcommandArgs, subcommandArgs } from "../subcommand-args.ts";
import type { Printed } from "./command.ts";
import type { EifCommand, EifSurroundings } from "./eif.ts";

/** A command, as a table: its name and help, its options, and what it does with them. */
export interface EifDefinition {
  readonly name: string;
  readonly description: string;
  /** After `usage: nitro eif NAME `. */
  readonly usage: string;
  readonly table: ArgsDef;
  readonly repeatable?: readonly string[];
  /** Stands after the options in the help. */
  readonly more?: string;
  readonly run: (around: EifSurroundings, words: SubcommandArgs) => Promise<Printed> | Printed;
}

const EVERY_COMMANDS = {
  json: { type: "boolean", description: "for programs" },
  help: { type: "boolean", description: "this" },
} as const satisfies ArgsDef;

/** Makes a citty command of a table; -help is read by all. */
export function eifCommand(definition: EifDefinition): EifCommand {
  const { name, description, usage, table, repeatable = [], more = "", run } = definition;
  const all: ArgsDef = { ...table, ...EVERY_COMMANDS };
  return (around) =>
    defineCommand({
      meta: { name, description },
      run({ rawArgs }) {
        const words = rawArgs.map((word) => (word === "-h" ? "-help" : word));
        const read = subcommandArgs(`eif ${name}`, words, all, repeatable);
        if (!read.values.has("help")) return run(around, read);
        return { print: commandHelp(description, `nitro eif ${name} ${usage}`, all, more) };
      },
    });
}

/** Whether programs read what is printed. */
export function forPrograms({ values }: SubcommandArgs): boolean {
  return values.has("json");
}

/** The one word that is no option: the image. Throws UserError. */
export function imageWord({ words }: SubcommandArgs, name: string): string {
  const [image, extra] = words;
  if (extra !== undefined)
    throw new UserError(extra === "" ? "''" : extra, "a second image", "one at a time");
  if (image === undefined)
    throw new UserError(`eif ${name}`, "no image is named", `nitro eif ${name} app.eif`);
  return image;
}
