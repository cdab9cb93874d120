/** -object: objects of several types, each with properties of its own, that other options and the launch refer to. */
import { UserError } from "../../sys/errors.ts";
import { MEMORY_BACKEND } from "./memory-backend.ts";
import type { PropertyValues } from "./option.ts";
import { checkProperties, type ParsedOption, type ParsedOptions, typedText } from "./parsed-options.ts";
import { identifier, only, onOff } from "./values.ts";

/** Properties of both kinds of monitors. */
const MONITOR = {
  id: { schema: identifier, required: true, help: "its name" },
  chardev: { schema: identifier, required: true, help: "the id of the -chardev" },
} as const;

const MONITOR_HMP = {
  ...MONITOR,
  readline: { schema: onOff, help: "edit lines, and complete with Tab", default: "on" },
} as const;

const MONITOR_QMP = {
  ...MONITOR,
  pretty: { schema: onOff, help: "indent the JSON", default: "off" },
  "close-action": {
    schema: () => only("none", "only none is supported"),
    help: "what happens when the client disconnects",
    default: "none",
  },
} as const;

/** The types, with the properties of each. */
const OBJECT_TYPES = {
  "memory-backend-memfd": MEMORY_BACKEND,
  "monitor-hmp": MONITOR_HMP,
  "monitor-qmp": MONITOR_QMP,
} as const;

type ObjectType = keyof typeof OBJECT_TYPES;
const TYPE_NAMES = Object.keys(OBJECT_TYPES) as ObjectType[];

/** -object */
export const OBJECT = {
  name: "object",
  argument: "TYPE,id=ID[,prop=value...]",
  help:
    "memory-backend-memfd: the memory for -machine memory-backend=ID; " +
    "monitor-hmp, monitor-qmp: a monitor on a character device",
  repeats: "append",
  properties: { ...MONITOR_HMP, ...MONITOR_QMP, ...MEMORY_BACKEND },
  types: () => OBJECT_TYPES,
  unknownType,
  syntax: { implied: "qom-type", helpArgument: "TYPE,help", json: true, shortBooleans: true },
  listing: () => `List of user creatable objects:\n${TYPE_NAMES.map((name) => `  ${name}\n`).join("")}`,
  group: { name: "object", hasId: true },
} as const;

/** An object of a type, its properties checked. */
export interface ObjectOption<T extends ObjectType> {
  readonly values: PropertyValues<(typeof OBJECT_TYPES)[T]>;
  readonly typed: string;
}

function typeOf({ pairs }: ParsedOption): string | undefined {
  return pairs.findLast(([key]) => key === "qom-type")?.[1];
}

/** Checks an object. @returns undefined if it is of another type. Throws UserError. */
export function objectOf<T extends ObjectType>(object: ParsedOption, type: T): ObjectOption<T> | undefined {
  if (object.name !== OBJECT.name || typeOf(object) !== type) return undefined;
  const row = { ...OBJECT, syntax: { ...OBJECT.syntax, type, helpArgument: `${type},help` } };
  const pairs = object.pairs.filter(([key]) => key !== "qom-type");
  const values = checkProperties(row, OBJECT_TYPES[type], [{ ...object, pairs }]);
  return { values: values as ObjectOption<T>["values"], typed: typedText(object) };
}

/** Checks every object of a type. Throws UserError. */
export function objectsOf<T extends ObjectType>(parsed: ParsedOptions, type: T): ObjectOption<T>[] {
  return parsed.of(OBJECT).flatMap((object) => objectOf(object, type) ?? []);
}

/** Throws UserError for an object of an unknown type, and for an id that is used twice. */
export function checkObjects(parsed: ParsedOptions): void {
  const ids = new Set<string>();
  for (const object of parsed.of(OBJECT)) {
    const type = typeOf(object);
    if (type === undefined) throw new UserError(typedText(object), "Parameter 'qom-type' is missing");
    if (!Object.hasOwn(OBJECT_TYPES, type)) throw new UserError(typedText(object), unknownType(type));
    const [, id] = object.pairs.findLast(([key]) => key === "id") ?? [];
    if (id === undefined) continue;
    if (ids.has(id)) throw new UserError(typedText(object), `Duplicate ID '${id}' for object`);
    ids.add(id);
  }
}

function unknownType(type: string): string {
  return type.startsWith("memory-backend-")
    ? "an enclave's memory is an anonymous file of huge pages: use memory-backend-memfd"
    : `Parameter 'qom-type' does not accept value '${type}': nitro -object help lists the types`;
}
