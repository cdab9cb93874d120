/**
 * What a row of the option table is, and how the arguments of an option are checked: repeats are merged as the row
 * says, then the row's zod schema turns text into values. A message names the option as it was typed.
 */
import type * as z from "zod/mini";
import type { Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { type Pair, type PairSyntax, pairText } from "../keyval.ts";
import { propertyRow } from "./values.ts";

/** The machines that an option may apply to. */
export type MachineType = "nitro";

/** A row of the option table. Names and argument forms are QEMU's (qemu-options.hx). */
export interface Option<S extends z.ZodMiniType = z.ZodMiniType> {
  readonly name: string;
  /** Another name of the same option, as -M is -machine. */
  readonly alias?: string;
  /** The argument, as help shows it; undefined for a flag. */
  readonly argument?: string;
  readonly help: string;
  /** What applies where the option is not given, as help shows it. */
  readonly default?: string;
  /** undefined: every machine. */
  readonly machines?: readonly MachineType[];
  /** What a repeated option does: the last one counts, properties merge, each adds one, or it is refused. */
  readonly repeats?: "last" | "merge" | "append" | "refuse";
  /** The syntax of an argument that is a list of properties; undefined for a plain argument. */
  readonly properties?: PropertySyntax;
  /** Builds the schema of the argument, or of its properties; called only where the option is given. */
  readonly schema?: () => S;
  /** What `-option help` prints, where that is not the list of properties. */
  readonly listing?: () => string;
  /** The group of a -readconfig file that stands for the option. */
  readonly group?: { readonly name: string; readonly hasId?: boolean };
}

/** How an option's properties are written, and what they are called in messages. */
export interface PropertySyntax extends PairSyntax {
  /** The QOM type that has the properties: `nitro-accel`. */
  readonly type?: string;
  /** The argument that lists the properties, such as `nitro,help`; `help` if undefined. */
  readonly helpArgument?: string;
  /** Properties that are options, or properties of options, of their own. */
  readonly mirrors?: Readonly<Record<string, Mirror>>;
}

/** The option, or the property of one, that a property of -machine stands for. */
export interface Mirror {
  readonly option: string;
  readonly property?: string;
}

/** An option whose argument is a list of properties. */
export type PropertyOption<S extends z.ZodMiniObject = z.ZodMiniObject> = Option<S> & {
  readonly properties: PropertySyntax;
  readonly schema: () => S;
};

/** An option on the command line or in a configuration file, its argument parsed. */
export interface ParsedOption {
  readonly name: string;
  /** As typed, `-M`; in a configuration file the place, `nitro.conf:3:`. */
  readonly dashed: string;
  /** The argument as typed; "" for a flag. */
  readonly argument: string;
  /** The value of a plain argument; for a mirrored property the property's. */
  readonly value: string;
  /** The properties, none for a plain argument. */
  readonly pairs: readonly Pair[];
}

/** As much of an argument as a message repeats. */
const MAX_SHOWN = 100;

/** Returns the option as a message names it, a long argument cut: `-m 512M`. */
export function typedText(parsed: ParsedOption): string {
  const { argument } = parsed;
  const isLong = argument.length > MAX_SHOWN;
  return fullText(isLong ? { ...parsed, argument: `${argument.slice(0, MAX_SHOWN)}…` } : parsed);
}

/** Returns the option as a message names it, with its whole argument. */
export function fullText({ dashed, argument }: ParsedOption): string {
  return argument === "" ? dashed : `${dashed} ${argument}`;
}

/** Returns one property of the option as a message names it, with its repeats: `-accel cpu-ids=2,cpu-ids=6`. */
export function typedProperty({ dashed, pairs }: ParsedOption, property: string): string {
  const given = pairs.filter(([key]) => key === property).map(([key, value]) => pairText(key, value));
  return `${dashed} ${given.join(",")}`;
}

/** All options of a command line, in their order. */
export class ParsedOptions {
  readonly all: readonly ParsedOption[];

  constructor(all: readonly ParsedOption[]) {
    this.all = all;
  }

  /** Whether the option is given. */
  has({ name }: Option): boolean {
    return this.all.some((parsed) => parsed.name === name);
  }

  /** Returns the option's occurrences in their order. */
  of({ name }: Option): readonly ParsedOption[] {
    return this.all.filter((parsed) => parsed.name === name);
  }

  /** Returns the last occurrence as a message names it; undefined if the option is not given. */
  typed(option: Option): string | undefined {
    const last = this.of(option).at(-1);
    return last && typedText(last);
  }

  /** Checks every plain argument of the option and returns the last one's value. Throws UserError. */
  value<S extends z.ZodMiniType>(option: Option<S>): z.output<S> | undefined {
    const schema = this.has(option) ? option.schema?.() : undefined;
    return this.of(option)
      .map((parsed) => schema && checked(schema, parsed.value, { origin: () => parsed, option }))
      .at(-1);
  }

  /** Checks every file that the option names and returns the last one; its path is never cut in messages. */
  file(option: Option<z.ZodMiniString>): Typed<string> | undefined {
    const value = this.value(option);
    const last = this.of(option).at(-1);
    return value === undefined || last === undefined ? undefined : { value, typed: fullText(last) };
  }

  /** Merges the properties of all occurrences and checks them; {} if the option is not given. Throws UserError. */
  properties<S extends z.ZodMiniObject>(option: PropertyOption<S>): Partial<z.output<S>> {
    const given = this.of(option);
    return given.length === 0 ? {} : checkProperties(option, option.schema(), given);
  }
}

/** Merges the properties of the given occurrences and checks them by `schema`. Throws UserError. */
export function checkProperties<S extends z.ZodMiniObject>(
  option: PropertyOption,
  schema: S,
  given: readonly ParsedOption[],
): z.output<S> {
  const texts = new Map<string, string | string[]>();
  const origins = new Map<string, ParsedOption>();
  for (const parsed of given) {
    for (const [key, value] of parsed.pairs) {
      const before = texts.get(key) ?? [];
      texts.set(key, repeats(schema, key) ? [...before, value] : value);
      origins.set(key, parsed);
    }
  }
  const origin = (key: string | undefined) => origins.get(key ?? "") ?? given[0];
  return checked(schema, Object.fromEntries(texts), { origin, option });
}

function repeats(schema: z.ZodMiniObject, key: string): boolean {
  const property = Object.hasOwn(schema.shape, key) ? schema.shape[key] : undefined;
  return property !== undefined && propertyRow(property)?.repeats === true;
}

interface Context {
  readonly option: Option;
  /** The occurrence that a property comes from. */
  readonly origin: (key: string | undefined) => ParsedOption | undefined;
}

function checked<S extends z.ZodMiniType>(
  schema: S,
  input: unknown,
  { option, origin }: Context,
): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const key = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path[0]?.toString();
  const parsed = origin(key);
  const what = parsed === undefined ? `-${option.name}` : typedText(parsed);
  const { type, helpArgument = "help" } = option.properties ?? {};
  if (issue?.code !== "unrecognized_keys") {
    const isMissing = key !== undefined && typeof input === "object" && !Object.hasOwn(input ?? {}, key);
    const hint = issue?.code === "custom" ? issue.params?.["hint"] : undefined;
    throw new UserError(
      what,
      isMissing ? `Parameter '${key}' is missing` : messageOf(issue?.message ?? "", key),
      hint,
    );
  }
  const known = type === undefined ? `Invalid parameter '${key}'` : `Property '${type}.${key}' not found`;
  throw new UserError(what, known, `nitro -${option.name} ${helpArgument} lists the properties`);
}

/** As QEMU, `expects a size` is preceded by the parameter's name; a message of its own stands as it is. */
function messageOf(message: string, key: string | undefined): string {
  return key !== undefined && /^(expects|does not accept|must be) /.test(message)
    ? `Parameter '${key}' ${message}`
    : message;
}
