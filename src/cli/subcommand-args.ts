/** The arguments of a subcommand: citty's definitions, read by the scanner that launches use. */
import type { ArgDef } from "citty";
import { UserError } from "../sys/errors.ts";
import { type CommandSyntax, type Occurrence, type OptionSyntax, scanArguments } from "./argv.ts";

/** An argument of a subcommand, as citty defines it. */
export type SubcommandArg = ArgDef & {
  readonly alias?: string;
  /** Whether it may be given several times. */
  readonly repeats?: boolean;
};

/** The arguments of a subcommand by name; those of type `positional` are its operands. */
export type SubcommandArgsDef = Readonly<Record<string, SubcommandArg>>;

/** The arguments that a subcommand was given. */
export class SubcommandArgs {
  /** @param options in their order, repeats included. @param operands the arguments that belong to no option. */
  constructor(
    readonly options: readonly Occurrence[],
    readonly operands: readonly string[],
  ) {}

  /** Whether the option is given. */
  has(name: string): boolean {
    return this.options.some((option) => option.name === name);
  }

  /** Returns the option's arguments in their order. */
  all(name: string): string[] {
    return this.options.filter((option) => option.name === name).map(({ value }) => value);
  }

  /** Returns the option's last argument; undefined if it is not given. */
  last(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /** Returns the option's last argument. Throws UserError if it is not given. @param hint what to type. */
  required(name: string, why: string, hint: string): string {
    const value = this.last(name);
    if (value === undefined) throw new UserError(`-${name}`, `missing; ${why}`, hint);
    return value;
  }
}

/** How the arguments of a subcommand are scanned. */
export interface ArgsRules {
  readonly args: SubcommandArgsDef;
  /** The command as it is typed: `nitro pool`. */
  readonly command: string;
  /** The syntax of a launch, for a command that accepts its options as well. */
  readonly launch?: CommandSyntax | undefined;
}

/** Scans the arguments after a subcommand's name. Throws UserError. */
export function subcommandArgs(
  typed: readonly string[],
  { args, command, launch }: ArgsRules,
): SubcommandArgs {
  const own = Object.entries(args).flatMap(([name, arg]) => optionSyntax(name, arg));
  const help = `${command} -help`;
  const syntax: CommandSyntax =
    launch === undefined
      ? { options: own, help, equalsValue: true }
      : { ...launch, options: [...own, ...launch.options] };
  const { options, operands } = scanArguments(typed, syntax);
  options.forEach(({ name, dashed }, i) => {
    const isRepeat = options.findIndex((other) => other.name === name) < i;
    if (isRepeat && Object.hasOwn(args, name) && !args[name]?.repeats)
      throw new UserError(dashed, "is given twice", "leave one of them out");
  });
  const positionals = Object.values(args).filter(({ type }) => type === "positional");
  const extra = operands[positionals.length];
  if (extra !== undefined)
    throw new UserError(extra === "" ? "''" : extra, "unexpected argument", `${help} shows the usage`);
  return new SubcommandArgs(options, operands);
}

function optionSyntax(name: string, { type, alias, valueHint = "VALUE" }: SubcommandArg): OptionSyntax[] {
  if (type === "positional") return [];
  const names = alias === undefined ? { name } : { name, alias };
  return [type === "boolean" ? names : { ...names, argument: valueHint }];
}
