/** Runs one HMP line: finds the command, reads its arguments as QEMU's monitor/hmp.c does, formats the result. */
import {
  type Arguments,
  type Command,
  type CommandContext,
  type HmpArguments,
  toCommandError,
} from "../commands/command.ts";
import { COMMANDS, findHmpCommand } from "../commands/table.ts";
import type { Json } from "../json.ts";
import { hmpHelp } from "./help.ts";

/** Arguments that do not match the command's syntax. The message is QEMU's. */
class SyntaxProblem extends Error {
  /** @param named whether QEMU prints the command's name before the message. */
  constructor(
    message: string,
    readonly named = true,
  ) {
    super(message);
  }
}

/** Converts line feeds to the line ends of HMP's output. */
export function toCrlf(text: string): string {
  return text.replaceAll("\n", "\r\n");
}

/** Runs a line and returns its output, with CRLF line ends. */
export function runLine(context: CommandContext, line: string): string {
  return toCrlf(lineOutput(context, line));
}

function lineOutput(context: CommandContext, line: string): string {
  const [, name = "", rest = ""] = splitWord(line);
  if (name === "") return "";
  if (name !== "info") return commandOutput(context, line, name, rest);
  const [, subcommand = "", subcommandRest = ""] = splitWord(rest);
  if (subcommand === "") return hmpHelp(COMMANDS, "info");
  return commandOutput(context, line, `info ${subcommand}`, subcommandRest);
}

function splitWord(text: string): readonly string[] {
  return /^\s*(\S+)\s*(.*)$/s.exec(text) ?? [];
}

function commandOutput(context: CommandContext, line: string, name: string, rest: string): string {
  const command = findHmpCommand(name);
  if (command === undefined) return `unknown command: '${name}'\n`;
  try {
    const args = parseArguments(hmpArgumentsOf(command), rest);
    const result = command.run(context, args);
    return command.print?.(result, args) ?? "";
  } catch (error) {
    if (!(error instanceof SyntaxProblem)) return `Error: ${toCommandError(error).message}\n`;
    const typed = line.slice(0, line.length - rest.length).trim();
    return syntaxMessage(command, error, typed);
  }
}

/** QEMU names an info subcommand without "info", other commands with all their names, and the help as typed. */
function syntaxMessage({ hmp = [] }: Command, { message, named }: SyntaxProblem, typed: string): string {
  const [name = ""] = hmp;
  const shown = name.startsWith("info ") ? name.slice("info ".length) : hmp.join("|");
  return `${named ? `${shown}: ` : ""}${message}\nTry "help ${typed}" for more information\n`;
}

function hmpArgumentsOf({ hmpArgs, args = {} }: Command): HmpArguments {
  if (hmpArgs !== undefined) return hmpArgs;
  const names = Object.keys(args);
  return { usage: names.join(" "), positional: names.map((name) => ({ name, type: "str" })) };
}

function parseArguments({ positional, flags = {} }: HmpArguments, text: string): Arguments {
  const args: Record<string, Json> = {};
  let rest = text.trim();
  for (let flag = nextFlag(rest); flag !== null; flag = nextFlag(rest)) {
    // A command without flags reads such a word as an argument.
    if (Object.keys(flags).length === 0) break;
    const name = flags[flag[1] ?? ""];
    if (name === undefined) throw new SyntaxProblem(`unsupported option ${flag[1]}`);
    args[name] = true;
    rest = rest.slice(flag[0].length);
  }
  for (const { name, type, optional } of positional) {
    if (rest === "") {
      if (optional === true) break;
      if (type === "int") throw new SyntaxProblem("unexpected end of expression", false);
      throw new SyntaxProblem("string expected");
    }
    const argument = type === "rest" ? { value: rest, rest: "" } : readWord(rest);
    args[name] = type === "int" ? parseInteger(argument.value) : argument.value;
    rest = argument.rest;
  }
  if (rest !== "") throw new SyntaxProblem("extraneous characters at the end of line");
  return args;
}

function nextFlag(text: string): RegExpExecArray | null {
  return /^(-\w)(\s+|$)/.exec(text);
}

/** Reads a word, or a double-quoted string with the escapes of QEMU's get_str(). */
function readWord(text: string): { value: string; rest: string } {
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\[nr\\'"])*)"\s*/s.exec(text);
    if (quoted === null) throw new SyntaxProblem("string expected");
    const value = (quoted[1] ?? "").replace(/\\(.)/g, (_, code: string) => {
      return { n: "\n", r: "\r" }[code] ?? code;
    });
    return { value, rest: text.slice(quoted[0].length) };
  }
  const [matched = "", value = ""] = /^(\S+)\s*/.exec(text) ?? [];
  return { value, rest: text.slice(matched.length) };
}

/** Parses a number. QEMU accepts expressions here; nitro accepts numbers only. */
function parseInteger(text: string): number {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text))
    throw new SyntaxProblem(`invalid char '${text.charAt(0)}' in expression`, false);
  const value = Number(text);
  if (value > 0xffff_ffff) throw new SyntaxProblem("integer is for 32-bit values");
  return value;
}
