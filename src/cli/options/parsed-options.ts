/**
 * The options of a command line with their arguments parsed, and the check of their values: repeats are merged as the
 * table says, then zod schemas turn text into values. A message names the option as it was typed.
 */
import * as z from "zod/mini";
import type { Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { type Pair, pairText } from "../keyval.ts";
import type { Option, PlainOption, Properties, PropertyOption, PropertyValues } from "./option.ts";

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

/** The longest argument that a message shows whole, in characters. */
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
  value<S extends z.ZodMiniType>(option: PlainOption<S>): z.output<S> | undefined {
    const given = this.of(option);
    if (given.length === 0) return undefined;
    const schema = option.schema();
    return given.map((parsed) => checked(schema, parsed.value, option, () => parsed)).at(-1);
  }

  /** Checks every file that the option names and returns the last one; its path is never cut in messages. */
  file(option: PlainOption<z.ZodMiniString>): Typed<string> | undefined {
    const value = this.value(option);
    const last = this.of(option).at(-1);
    return value === undefined || last === undefined ? undefined : { value, typed: fullText(last) };
  }

  /** Merges the properties of all occurrences and checks them; {} if the option is not given. Throws UserError. */
  properties<P extends Properties>(option: PropertyOption<P>): Partial<PropertyValues<P>> {
    const given = this.of(option);
    return given.length === 0 ? {} : checkProperties(option, option.properties, given);
  }
}

/** Merges the properties of the given occurrences and checks them. Throws UserError. */
export function checkProperties<P extends Properties>(
  option: Option,
  properties: P,
  given: readonly ParsedOption[],
): PropertyValues<P> {
  const texts = new Map<string, string | string[]>();
  const origins = new Map<string, ParsedOption>();
  for (const parsed of given) {
    for (const [key, value] of parsed.pairs) {
      const before = texts.get(key) ?? [];
      const isList = Object.hasOwn(properties, key) && properties[key]?.repeats;
      texts.set(key, isList ? [...before, value] : value);
      origins.set(key, parsed);
    }
  }
  const used = Object.entries(properties).filter(([key, { required }]) => required || texts.has(key));
  const schema = z.strictObject(Object.fromEntries(used.map(([key, property]) => [key, property.schema()])));
  const origin = (key: string | undefined) => origins.get(key ?? "") ?? given[0];
  // The schema has the given properties only, so its type does not name them.
  return checked(schema, Object.fromEntries(texts), option, origin) as PropertyValues<P>;
}

function checked<S extends z.ZodMiniType>(
  schema: S,
  input: unknown,
  option: Option,
  origin: (key: string | undefined) => ParsedOption | undefined,
): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const isUnknown = issue?.code === "unrecognized_keys";
  const key = isUnknown ? issue.keys[0] : issue?.path[0]?.toString();
  const parsed = origin(key);
  const what = parsed === undefined ? `-${option.name}` : typedText(parsed);
  const { type, helpArgument = "help" } = option.syntax ?? {};
  if (!isUnknown) {
    const isMissing = key !== undefined && !Object.hasOwn(Object(input), key);
    throw new UserError(
      what,
      isMissing ? `Parameter '${key}' is missing` : messageOf(issue?.message ?? "", key),
    );
  }
  const why = type === undefined ? `Invalid parameter '${key}'` : `Property '${type}.${key}' not found`;
  throw new UserError(what, why, `nitro -${option.name} ${helpArgument} lists the properties`);
}

/** Puts the parameter's name before `expects a size`, as QEMU does; returns other messages unchanged. */
function messageOf(message: string, key: string | undefined): string {
  return key !== undefined && /^(expects|does not accept|must be) /.test(message)
    ? `Parameter '${key}' ${message}`
    : message;
}
