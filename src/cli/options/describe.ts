/**
 * The option table as plain data, for everything that lists options: `-accel help`, QMP, the manual and shell
 * completion. It builds the schemas of all options it describes; a launch does not call it.
 */
import type { CommandLineOptionInfo } from "../../monitor/machine-view.ts";
import { UserError } from "../../sys/errors.ts";
import { wrapText } from "../wrap.ts";
import type { MachineType, Mirror, Option } from "./option.ts";
import { checkProperties, type ParsedOption, typedText } from "./parsed-options.ts";
import { findOption, LAUNCH_OPTIONS } from "./table.ts";
import { type ValueForm, valueForm } from "./values.ts";

/** A property of an option, as help lists it. */
interface PropertyDescription extends ValueForm {
  readonly name: string;
  readonly help: string;
  readonly default: string | undefined;
  /** Whether each repeat adds a value to a list; otherwise the last value counts. */
  readonly repeats: boolean;
}

/** An option as help lists it. */
export interface OptionDescription {
  readonly name: string;
  readonly alias: string | undefined;
  /** What follows it; undefined for a flag. */
  readonly argument: string | undefined;
  /** Values of a plain argument that can be listed. */
  readonly values: readonly string[];
  readonly help: string;
  readonly default: string | undefined;
  readonly repeats: NonNullable<Option["repeats"]>;
  /** undefined: every machine. */
  readonly machines: readonly MachineType[] | undefined;
  readonly properties: readonly PropertyDescription[];
}

/** Describes every option of a launch, in the order of help. */
export function describeOptions(): OptionDescription[] {
  return LAUNCH_OPTIONS.map(describeOption);
}

/** Describes one option. */
export function describeOption(option: Option): OptionDescription {
  const { name, alias, argument, help, machines, repeats = "last" } = option;
  const plain = option.schema?.();
  return {
    ...{ name, alias, argument, help, repeats, machines, default: option.default },
    values: (plain && valueForm(plain).values) ?? [],
    properties: describeProperties(option),
  };
}

function describeProperties({ properties = {}, syntax }: Option): PropertyDescription[] {
  const own = Object.entries(properties).flatMap(([name, { schema, help, default: fallback, repeats }]) => {
    if (help === undefined) return [];
    return [{ ...valueForm(schema()), name, help, default: fallback, repeats: repeats ?? false }];
  });
  const mirrors = Object.entries(syntax?.mirrors ?? {});
  const mirrored = mirrors.map(([name, mirror]) => describeMirror(name, mirror));
  return [...own, ...mirrored].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function describeMirror(name: string, { option, property }: Mirror): PropertyDescription {
  const target = findOption(option);
  const help = `as -${option}${property === undefined ? "" : ` ${property}=`}`;
  const described = target && describeProperties(target).find((each) => each.name === property);
  const { type, form } = described ?? { type: "string", form: target?.argument ?? "" };
  return { name, help, type, form, default: undefined, repeats: false };
}

/**
 * Returns what an option prints where its argument asks for help: `-accel help`, `-accel nitro,help`. Throws UserError
 * if it names a type that does not exist.
 */
export function argumentHelp(option: Option, parsed: ParsedOption): string {
  const { pairs } = parsed;
  if (option.listing !== undefined && pairs.length === 0) return option.listing();
  const implied = option.syntax?.implied ?? "";
  const ofType = pairs.filter(([key]) => key === implied);
  const type = ofType.at(-1)?.[1];
  if (type !== undefined && option.types !== undefined) {
    const types = option.types();
    const properties = Object.hasOwn(types, type) ? types[type] : undefined;
    if (properties === undefined) throw new UserError(typedText(parsed), option.unknownType?.(type) ?? "");
    const rows = describeProperties({ ...option, properties }).map(propertyHelp);
    return `${type} options:\n${rows.join("")}`;
  }
  // A property that help does not list is the type.
  const property = option.properties?.[implied];
  if (property !== undefined && property.help === undefined)
    checkProperties(option, { [implied]: property }, [{ ...parsed, pairs: ofType }]);
  const rows = describeProperties(option).map(propertyHelp);
  return `${option.syntax?.type ?? option.group?.name ?? option.name} options:\n${rows.join("")}`;
}

/** A row as QEMU prints it: `  debug-mode=<bool>      - give the enclave a console (default: off)`. */
function propertyHelp({ name, type, help, default: fallback }: PropertyDescription): string {
  const head = `  ${name}=<${type}>`.padEnd(HEAD_COLUMNS);
  return wrapText(`${head} -`, helpWithDefault({ help, default: fallback }), HEAD_COLUMNS + 3);
}

/** Returns a help text with its default in parentheses. */
export function helpWithDefault(row: {
  readonly help: string;
  readonly default?: string | undefined;
}): string {
  return row.default === undefined ? row.help : `${row.help} (default: ${row.default})`;
}

const HEAD_COLUMNS = 24;

/** QMP's names of the types of parameters (qapi/misc.json, CommandLineParameterType). */
const PARAMETER_TYPES: Readonly<Record<string, CommandLineOptionInfo["parameters"][number]["type"]>> = {
  bool: "boolean",
  int: "number",
  uint64: "number",
  size: "size",
};

/** Describes the options with properties as QMP's query-command-line-options does. */
export function commandLineOptions(): CommandLineOptionInfo[] {
  return LAUNCH_OPTIONS.flatMap((option) => {
    if (option.properties === undefined) return [];
    const parameters = describeProperties(option).map(({ name, type, help, default: fallback }) => ({
      name,
      type: PARAMETER_TYPES[type] ?? "string",
      help,
      ...(fallback === undefined ? {} : { default: fallback }),
    }));
    return [{ option: option.group?.name ?? option.name, parameters }];
  });
}
