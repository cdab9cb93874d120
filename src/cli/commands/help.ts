/** `nitro help`: the commands, the pages of the manual, and the usage of any command. */
import { UserError } from "../../sys/errors.ts";
import { MANUAL_PAGES } from "../manual-pages.ts";
import { nearest } from "../nearest.ts";
import { commandHelp, commandRows, summaries } from "../subcommand-help.ts";
import { definitionRow } from "../wrap.ts";
import { findCommand } from "./find-command.ts";
import { defineSubcommand, type Subcommand, type SubcommandGroup } from "./subcommand.ts";

/** Creates the command. @param nitro the program, whose commands it describes. */
export function helpCommand(nitro: SubcommandGroup): Subcommand {
  return defineSubcommand({
    meta: {
      name: "help",
      description: "print a page of the manual, or the usage of a command",
      usage: ["help [TOPIC | COMMAND]"],
      examples: ["help", "help memory", "help eif build"],
      exitStatus: "0, or 1 if there is no such topic",
    },
    args: {
      topic: {
        type: "positional",
        required: false,
        valueHint: "TOPIC",
        description: "a page; nitro help lists them",
      },
      subcommand: {
        type: "positional",
        required: false,
        valueHint: "COMMAND",
        description: "a command, such as eif build",
      },
    },
    run: async ({ args: { operands } }) => ({ output: await helpText(nitro, operands) }),
  });
}

async function helpText(nitro: SubcommandGroup, operands: readonly string[]): Promise<string> {
  const [name, ...more] = operands;
  if (name === undefined) return overview(nitro);
  const page = Object.hasOwn(MANUAL_PAGES, name) ? MANUAL_PAGES[name] : undefined;
  const isCommand = Object.hasOwn(nitro.subCommands, name);
  if (page !== undefined && more.length === 0) {
    const usage = isCommand ? `\n'nitro ${name} -help' lists the options.\n` : "";
    return `${plainText(await page.load())}${usage}`;
  }
  if (!isCommand) throw unknownTopic(name, nitro);
  const { command, rest } = await findCommand(nitro, operands);
  if (rest.length > 0)
    throw new UserError(`help ${operands.join(" ")}`, `nitro ${name} has no commands`, `nitro help ${name}`);
  return commandHelp(command);
}

async function overview(nitro: SubcommandGroup): Promise<string> {
  const pages = Object.entries(MANUAL_PAGES).map(([name, { summary }]) =>
    definitionRow(`  nitro help ${name}`, summary, TOPIC_COLUMN),
  );
  return (
    "usage: nitro -kernel FILE [option...]\n       nitro COMMAND [argument...]\n\n" +
    `commands:\n${commandRows(await summaries(nitro))}\n` +
    "'nitro -help' lists the options of a launch, 'nitro COMMAND -help' those of a\ncommand.\n\n" +
    `pages of the manual:\n${pages.join("")}`
  );
}

const TOPIC_COLUMN = 28;

function unknownTopic(name: string, nitro: SubcommandGroup): UserError {
  const names = [...Object.keys(MANUAL_PAGES), ...Object.keys(nitro.subCommands)];
  const similar = names.find((each) => name !== "" && each.startsWith(name)) ?? nearest(name, names);
  return new UserError(
    `unknown topic '${name}'`,
    "",
    similar === undefined ? "nitro help lists the topics" : `did you mean 'nitro help ${similar}'?`,
  );
}

/** Returns a page for a terminal: code blocks without fences, and indented; the rest of Markdown reads as it is. */
function plainText(markdown: string): string {
  let inCode = false;
  const lines = markdown.split("\n").flatMap((line) => {
    if (line.startsWith("```")) {
      inCode = !inCode;
      return [];
    }
    return [inCode && line !== "" ? `    ${line}` : line];
  });
  return lines.join("\n");
}
