/**
 * The scanner of all command lines, those of launches and of subcommands. It splits arguments into options and operands
 * in QEMU's way: `-x` and `--x` are the same, an option that has an argument consumes the next one whatever it looks
 * like, repeats keep their order, and nothing is ignored.
 */
import { UserError } from "../sys/errors.ts";
import { shellQuote } from "../sys/shell-quote.ts";
import { nearest } from "./nearest.ts";

/** What the scanner knows of an option: a row of the option table, or an argument of a subcommand. */
export interface OptionSyntax {
  readonly name: string;
  /** Another name of the same option. */
  readonly alias?: string;
  /** The argument, as help shows it; undefined for a flag. */
  readonly argument?: string;
}

/** The options of a command, and what else its command line accepts. */
export interface CommandSyntax {
  readonly options: readonly OptionSyntax[];
  /** The command that lists the options: `nitro -help`. */
  readonly help: string;
  /** Whether `-x=V` is accepted for `-x V`. QEMU refuses it. */
  readonly equalsValue?: boolean;
  /** Returns why a name that is no option of nitro's is refused; undefined if it is unknown. */
  readonly refusal?: (name: string) => { readonly why: string; readonly hint?: string } | undefined;
  /** Returns why an argument that belongs to no option is refused; undefined if it is accepted as an operand. */
  readonly refuseOperand?: (argument: string) => UserError;
}

/** One option as it stands on the command line. */
export interface Occurrence {
  readonly name: string;
  /** As it was typed, dashes included: `-M`. */
  readonly dashed: string;
  /** Its argument; "" for a flag. */
  readonly value: string;
}

/** A command line, split. */
export interface ScannedArguments {
  /** In their order, repeats included. */
  readonly options: readonly Occurrence[];
  /** The arguments that belong to no option. */
  readonly operands: readonly string[];
}

/** Splits the arguments of a command. Throws UserError, naming the argument as it was typed. */
export function scanArguments(args: readonly string[], syntax: CommandSyntax): ScannedArguments {
  const options: Occurrence[] = [];
  const operands: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (!arg.startsWith("-") || arg === "-") {
      if (syntax.refuseOperand !== undefined) throw syntax.refuseOperand(arg);
      operands.push(arg);
      continue;
    }
    const { dashed, attached } = syntax.equalsValue ? splitAtEquals(arg) : { dashed: arg };
    const option = findOption(syntax.options, nameOf(dashed));
    if (option === undefined) throw unknownOption(dashed, syntax);
    const { name, argument } = option;
    if (argument === undefined) {
      if (attached !== undefined) throw new UserError(dashed, "accepts no argument", `write ${dashed} alone`);
      options.push({ name, dashed, value: "" });
      continue;
    }
    const value = attached ?? args[++i];
    if (value === undefined) throw new UserError(dashed, "requires an argument", `${dashed} ${argument}`);
    options.push({ name, dashed, value });
  }
  return { options, operands };
}

function nameOf(dashed: string): string {
  return dashed.slice(dashed.startsWith("--") ? 2 : 1);
}

function splitAtEquals(arg: string): { dashed: string; attached?: string } {
  const equals = arg.indexOf("=");
  return equals === -1 ? { dashed: arg } : { dashed: arg.slice(0, equals), attached: arg.slice(equals + 1) };
}

function findOption(options: readonly OptionSyntax[], name: string): OptionSyntax | undefined {
  return options.find((option) => option.name === name || option.alias === name);
}

function unknownOption(dashed: string, { options, help, refusal }: CommandSyntax): UserError {
  const name = nameOf(dashed);
  const refused = refusal?.(name);
  if (refused !== undefined) return new UserError(dashed, refused.why, refused.hint);
  const equals = name.indexOf("=");
  const option = equals === -1 ? undefined : findOption(options, name.slice(0, equals));
  if (option !== undefined) {
    const hint = `write the argument separately: -${option.name} ${shellQuote(name.slice(equals + 1))}`;
    return new UserError(dashed, "invalid option", hint);
  }
  const names = options.flatMap((each) => (each.alias === undefined ? [each.name] : [each.name, each.alias]));
  const similar = nearest(name, names);
  const dashes = dashed.slice(0, dashed.length - name.length);
  const hint = similar === undefined ? `${help} lists the options` : `did you mean ${dashes}${similar}?`;
  return new UserError(dashed, "invalid option", hint);
}
