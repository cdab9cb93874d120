/** One line of HMP: its command is found, its words are read, and what it prints is given. */
import { type Arguments, type Command, type HmpWords, refusal, type Surroundings } from "./command.ts";
import { hmpCommand } from "./command-table.ts";
import type { Json } from "./json-text.ts";

/** Words that do not fit the command; the message is QEMU's. */
class WordError extends Error {}

/** Runs a line; lines of what it prints end with a line feed. */
export function runLine(around: Surroundings, line: string): string {
  if (line.trim() === "") return "";
  const found = hmpCommand(line);
  if ("say" in found) return found.say;
  const { command, rest } = found;
  try {
    const args = readWords(wordsOf(command), rest);
    return command.show?.(command.run(around, args), args) ?? ran(command, around, args);
  } catch (error) {
    if (!(error instanceof WordError)) return `Error: ${refusal(error).message}\n`;
    const [name = ""] = command.hmp ?? [];
    // QEMU names a command of info by its last word, and others with all their names.
    const shown = name.startsWith("info ") ? name.slice("info ".length) : command.hmp?.join("|");
    return `${shown}: ${error.message}\nTry "help ${name}" for more information\n`;
  }
}

function ran(command: Command, around: Surroundings, args: Arguments): string {
  if (command.show === undefined) command.run(around, args);
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
    if (name === undefined) break;
    args[name] = true;
    rest = rest.slice(flag[0].length);
  }
  for (const { name, type, optional } of read) {
    if (rest === "") {
      if (optional === true) break;
      throw new WordError(type === "int" ? "integer expected" : "string expected");
    }
    const taken = type === "rest" ? { word: rest, rest: "" } : word(rest);
    args[name] = type === "int" ? integer(taken.word) : taken.word;
    rest = taken.rest;
  }
  if (rest !== "") throw new WordError("extraneous characters at the end of line");
  return args;
}

/** A word, or text in double quotes with C's escapes. */
function word(text: string): { word: string; rest: string } {
  const quoted = /^"((?:[^"\\]|\\.)*)"\s*/s.exec(text);
  if (quoted !== null) {
    const unescaped = (quoted[1] ?? "").replace(/\\(.)/g, (_, code: string) => {
      return { n: "\n", r: "\r" }[code] ?? code;
    });
    return { word: unescaped, rest: text.slice(quoted[0].length) };
  }
  const plain = /^(\S+)\s*/.exec(text);
  return { word: plain?.[1] ?? "", rest: text.slice(plain?.[0].length ?? 0) };
}

function integer(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new WordError("integer expected");
  return value;
}
