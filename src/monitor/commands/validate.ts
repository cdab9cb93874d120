/** Validates QMP arguments with zod and reports errors with the text of QEMU's QAPI visitors. */
import * as z from "zod/mini";
import { type Arguments, type ArgumentType, type Command, CommandError } from "./command.ts";

const SCHEMAS: Readonly<Record<ArgumentType, () => z.ZodMiniType>> = {
  str: () => z.string(),
  int: () => z.int(),
  bool: () => z.boolean(),
  any: () => z.unknown().check(z.refine((value) => value !== undefined)),
  ChardevBackend: () => z.looseObject({}),
  strList: () => z.array(z.string()),
};

/** QEMU's names for zod's types, where they differ. */
const QEMU_TYPE_NAMES: Readonly<Record<string, string>> = { int: "integer", number: "integer" };

/** zod compiles a schema when it is first used, so each command keeps its own. */
const compiled = new WeakMap<Command, z.ZodMiniType>();

function schemaOf(command: Command): z.ZodMiniType {
  const schema = compiled.get(command) ?? createSchema(command);
  compiled.set(command, schema);
  return schema;
}

function createSchema({ args = {} }: Command): z.ZodMiniType {
  const members = Object.entries(args).map(([name, type]) => {
    const required = SCHEMAS[type.replace("?", "") as ArgumentType]();
    return [name, type.endsWith("?") ? z.optional(required) : required] as const;
  });
  return z.strictObject(Object.fromEntries(members));
}

/** Validates the arguments of a command. Throws CommandError. */
export function validateArguments(command: Command, args: unknown): Arguments {
  return validate(schemaOf(command), args) as Arguments;
}

/** Validates a value. @param parent the path of the value within the arguments: `backend.data`. Throws CommandError. */
export function validate<S extends z.ZodMiniType>(schema: S, value: unknown, parent?: string): z.output<S> {
  // The JSON parser's objects have no prototype; zod's strictObject rejects such objects.
  const plain = typeof value === "object" && value !== null ? structuredClone(value) : value;
  const result = schema.safeParse(plain);
  if (result.success) return result.data;
  throw new CommandError(errorText(result.error.issues, value, parent));
}

type Issue = z.core.$ZodIssue;

/** Reports the first known argument that is wrong; unknown arguments come last, as in QEMU. */
function errorText(issues: readonly Issue[], value: unknown, parent?: string): string {
  const fullName = (path: readonly string[]) =>
    [...(parent === undefined ? [] : [parent]), ...path].join(".") || "data";
  const issue = issues.find(({ code }) => code !== "unrecognized_keys");
  if (issue === undefined) {
    const [unknown] = issues.flatMap((other) => (other.code === "unrecognized_keys" ? other.keys : []));
    return `Parameter '${fullName([String(unknown)])}' is unexpected`;
  }
  const path = issue.path.map(String);
  const name = fullName(path);
  if (valueAt(value, path) === undefined) return `Parameter '${name}' is missing`;
  const expected = issue.code === "invalid_type" ? issue.expected : "object";
  return `Invalid parameter type for '${name}', expected: ${QEMU_TYPE_NAMES[expected] ?? expected}`;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}
