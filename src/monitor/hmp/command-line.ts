/** One line of HMP: its command is found, its words are read, and what it prints is given. */
import {
  type Arguments,
  type Command,
  type CommandContext,
  type HmpWords,
  refusal,
} from "../commands/command.ts";
import { hmpCommand } from "../commands/table.ts";
import type { Json } from "../json.ts";

/** Words that do not fit the command; the message is QEMU's, with the command's names before it or without. */
class WordError extends Error {
  constructor(
    message: string,
    readonly named = true,
  ) {
    super(message);
  }
}

/** Runs a line; lines of what it prints end with a line feed. */
export function runLine(context: CommandContext, line: string): string {
  if (line.trim() === "") return "";
  const found = hmpCommand(line);
  if ("say" in found) return found.say;
  const { command, rest } = found;
  try {
    const args = readWords(wordsOf(command), rest);
    return command.show?.(command.run(context, args), args) ?? ran(command, context, args);
  } catch (error) {
    if (!(error instanceof WordError)) return `Error: ${refusal(error).message}\n`;
    const [name = ""] = command.hmp ?? [];
    // QEMU names a command of info by its last word, others with all their names, and its help as it was typed.
    const shown = name.startsWith("info ") ? name.slice("info ".length) : command.hmp?.join("|");
    const typed = line.slice(0, line.length - rest.length).trim();
    return `${error.named ? `${shown}: ` : ""}${error.message}\nTry "help ${typed}" for more information\n`;
  }
}

function ran(command: Command, context: CommandContext, args: Arguments): string {
  if (command.show === undefined) command.run(context, args);
  return "";
}

/** Where the table says nothing else, the arguments in their order are the words. */
function wordsOf({ words, args = {} }: Command): HmpWords {
  if (words !== undefined) return words;
  const read = Object.keys(args).map((name) => ({ name, type: "str" as const }));
  return { usage: Object.keys(args).join(" "), read };
}

function readWords({ read, flags = {} }: HmpWords, line: string): Arguments {
  const args: Record<string, Json> = {};
  let rest = line.trim();
  for (let flag = /^(-\w)(\s+|$)/.exec(rest); flag !== null; flag = /^(-\w)(\s+|$)/.exec(rest)) {
    const name = flags[flag[1] ?? ""];
    // Where a command has no flags at all, such a word is a word like others.
    if (name === undefined && Object.keys(flags).length > 0) {
      throw new WordError(`unsupported option ${flag[1]}`);
    }
    if (name === undefined) break;
    args[name] = true;
    rest = rest.slice(flag[0].length);
  }
  for (const { name, type, optional } of read) {
    if (rest === "") {
      if (optional === true) break;
      throw type === "int"
        ? new WordError("unexpected end of expression", false)
        : new WordError("string expected");
    }
    const taken = type === "rest" ? { word: rest, rest: "" } : word(rest);
    args[name] = type === "int" ? integer(taken.word) : taken.word;
    rest = taken.rest;
  }
  if (rest !== "") throw new WordError("extraneous characters at the end of line");
  return args;
}

/** A word, or text in double quotes with some of C's escapes; without its end, or with others, it is no word. */
function word(text: string): { word: string; rest: string } {
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\[nr\\'"])*)"\s*/s.exec(text);
    if (quoted === null) throw new WordError("string expected");
    const unescaped = (quoted[1] ?? "").replace(/\\(.)/g, (_, code: string) => {
      return { n: "\n", r: "\r" }[code] ?? code;
    });
    return { word: unescaped, rest: text.slice(quoted[0].length) };
  }
  const plain = /^(\S+)\s*/.exec(text);
  return { word: plain?.[1] ?? "", rest: text.slice(plain?.[0].length ?? 0) };
}

/** QEMU reads an expression here, of which numbers are had. */
function integer(text: string): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw new WordError(`invalid char '${text.charAt(0)}' in expression`, false);
  if (value > 0xffff_ffff) {
    throw new WordError("integer is for 32-bit values", true);
  }
  return value;
}
