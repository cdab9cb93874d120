/**
 * Parses a command line once: arguments → options with their properties → LaunchOptions. A first argument without a
 * dash is a subcommand; everything else is QEMU's syntax.
 */
import type { LaunchOptions } from "../launch/options.ts";
import { SyscallError, UserError } from "../sys/errors.ts";
import { shellQuote } from "../sys/shell-quote.ts";
import { type CommandSyntax, type Occurrence, scanArguments } from "./argv.ts";
import { readConfig } from "./config-file.ts";
import { KeyvalError, type Keyvals, parseKeyvals } from "./keyval.ts";
import { argumentHelp } from "./options/describe.ts";
import { HELP, READCONFIG, VERSION } from "./options/general.ts";
import { launchOptions } from "./options/launch-options.ts";
import { mirroredOptions } from "./options/machine.ts";
import { fullText, type ParsedOption, ParsedOptions, typedText } from "./options/parsed-options.ts";
import { refusalOf } from "./options/refused.ts";
import { findOption, LAUNCH_OPTIONS } from "./options/table.ts";

/** Text to print, a launch, or the arguments of a subcommand. */
export type Request =
  | { readonly print: string }
  | { readonly launch: LaunchOptions }
  | { readonly subcommand: readonly string[] };

/** The syntax of a launch. */
export const LAUNCH_SYNTAX: CommandSyntax = {
  options: LAUNCH_OPTIONS,
  help: "nitro -help",
  refusal: refusalOf,
  refuseOperand: diskImage,
};

/** As qemu-system-x86_64 would read it (qemu-options.hx, "disk_image"). */
function diskImage(argument: string): UserError {
  return new UserError(
    argument === "" ? "''" : argument,
    "QEMU reads an argument without a dash as a disk image, and an enclave has no disks",
    `if it is the image to boot: nitro -kernel ${argument === "" ? "FILE" : shellQuote(argument)}`,
  );
}

/**
 * Parses the arguments after the program's name. Throws UserError.
 * @param readFile reads a file of -readconfig; throws SyscallError.
 */
export function parseCommandLine(args: readonly string[], readFile: (path: string) => string): Request {
  refuseBadUtf8(args);
  if (args[0] !== undefined && !args[0].startsWith("-")) return { subcommand: args };
  return parseLaunch(scanArguments(args, LAUNCH_SYNTAX).options, readFile);
}

/** Parses the options of a launch. Throws UserError. @param readFile as of parseCommandLine. */
export function parseLaunch(occurrences: readonly Occurrence[], readFile: (path: string) => string): Request {
  const options: ParsedOption[] = [];
  // In order: QEMU prints help and the version as it meets them.
  for (const occurrence of occurrences) {
    const { name } = occurrence;
    if (name === HELP.name) return { subcommand: ["-help"] };
    if (name === VERSION.name) return { subcommand: ["version", "-qemu"] };
    const { parsed, help } = parseOption(occurrence);
    if (help !== undefined) return { print: help };
    if (name === READCONFIG.name) options.push(...configured(parsed, readFile));
    options.push(...mirroredOptions(parsed));
  }
  return { launch: launchOptions(new ParsedOptions(options)) };
}

/** Parses an option's argument. `help` is what it prints where it asks for help. Throws UserError. */
export function parseOption({ name, dashed, value }: Occurrence): { parsed: ParsedOption; help?: string } {
  const plain: ParsedOption = { name, dashed, argument: value, value, pairs: [] };
  const option = findOption(name);
  if (option?.syntax === undefined) {
    const isHelp = option?.listing !== undefined && (value === "help" || value === "?");
    return isHelp ? { parsed: plain, help: argumentHelp(option, plain) } : { parsed: plain };
  }
  let keyvals: Keyvals;
  try {
    keyvals = parseKeyvals(value, option.syntax);
  } catch (error) {
    throw error instanceof KeyvalError ? new UserError(typedText(plain), error.message) : error;
  }
  const parsed = { ...plain, pairs: keyvals.pairs };
  return keyvals.help ? { parsed, help: argumentHelp(option, parsed) } : { parsed };
}

/** Returns the options of a -readconfig file. */
function configured(file: ParsedOption, readFile: (path: string) => string): ParsedOption[] {
  try {
    return readConfig(readFile(file.value), file.value, fullText(file)).flatMap(mirroredOptions);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new UserError(fullText(file), `Could not open '${file.value}': ${error.why}`);
  }
}

/** The runtime's replacement for bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

function refuseBadUtf8(args: readonly string[]): void {
  const bad = args.find((arg) => arg.includes(REPLACEMENT));
  if (bad === undefined) return;
  throw new UserError(
    bad,
    "not valid UTF-8; nitro would use another text than the one typed",
    "type it in a UTF-8 locale; for a file whose name is not UTF-8: ln -s FILE NAME",
  );
}
