/** The shape of a row of the option table: an option, its properties, and how its argument is written. */
import type * as z from "zod/mini";
import type { PairSyntax } from "../keyval.ts";

/** The machines that an option may apply to. */
export type MachineType = "nitro";

/** A row of the option table. Names and argument forms are QEMU's (qemu-options.hx). */
export interface Option {
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
  /** Builds the schema of a plain argument; called only where the option is given. */
  readonly schema?: () => z.ZodMiniType;
  /** The properties of an argument that is a list of them: `nitro,debug-mode=on`. */
  readonly properties?: Properties;
  /** The properties of each type, where the implied property is a type with properties of its own. */
  readonly types?: () => Readonly<Record<string, Properties>>;
  /** Why a type that does not exist is refused. */
  readonly unknownType?: (type: string) => string;
  readonly syntax?: PropertySyntax;
  /** What `-option help` prints, where that is not the list of properties. */
  readonly listing?: () => string;
  /** The group of a -readconfig file that stands for the option. */
  readonly group?: { readonly name: string; readonly hasId?: boolean };
}

/** A row of the option table for one property of an option. */
export interface Property {
  /** Builds the schema of the value; called only where the property is given. */
  readonly schema: () => z.ZodMiniType;
  /** What the property is for; undefined for one that help does not list. */
  readonly help?: string;
  /** What applies where the property is not given, as help shows it. */
  readonly default?: string;
  /** Whether the schema reads a list, to which each repeat adds; otherwise the last value counts. */
  readonly repeats?: boolean;
  /** Whether the property must be given. */
  readonly required?: boolean;
}

/** The rows of an option's properties by their names. */
export type Properties = Readonly<Record<string, Property>>;

/** An option with a plain argument. */
export type PlainOption<S extends z.ZodMiniType> = Omit<Option, "schema"> & { readonly schema: () => S };

/** An option whose argument is a list of properties. */
export type PropertyOption<P extends Properties> = Omit<Option, "properties"> & { readonly properties: P };

/** The values of properties: of the required ones, and of the others that are given. */
export type PropertyValues<P extends Properties> = {
  readonly [K in keyof P as P[K] extends { required: true } ? K : never]: ValueOf<P[K]>;
} & {
  readonly [K in keyof P as P[K] extends { required: true } ? never : K]?: ValueOf<P[K]> | undefined;
};

type ValueOf<P extends Property> = z.output<ReturnType<P["schema"]>>;

/** How a list of properties is written, and what they are called in messages. */
interface PropertySyntax extends PairSyntax {
  /** The QOM type that has the properties: `nitro-accel`. */
  readonly type?: string;
  /** The argument that lists the properties, such as `nitro,help`; `help` if undefined. */
  readonly helpArgument?: string;
  /** Properties that stand for other options, or for properties of other options. */
  readonly mirrors?: Readonly<Record<string, Mirror>>;
}

/** The option, or the property of one, that a property of -machine stands for. */
export interface Mirror {
  readonly option: string;
  readonly property?: string;
}
