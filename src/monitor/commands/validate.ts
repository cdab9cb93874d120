/** Checks what a QMP client sends, by zod, and tells what is wrong in QEMU's words. */
import * as z from "zod/mini";
import { type Arguments, type ArgumentType, type Command, CommandError } from "./command.ts";

const TYPES: Readonly<Record<ArgumentType, () => z.ZodMiniType>> = {
  str: () => z.string(),
  int: () => z.int(),
  bool: () => z.boolean(),
  any: () => z.unknown().check(z.refine((value) => value !== undefined)),
  ChardevBackend: () => z.looseObject({}),
  strList: () => z.array(z.string()),
};

/** QEMU's names for zod's. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: "string",
  int: "integer",
  number: "integer",
  boolean: "boolean",
  object: "object",
  array: "array",
};

const schemas = new WeakMap<Command, z.ZodMiniType>();

function schemaOf(command: Command): z.ZodMiniType {
  const known = schemas.get(command);
  if (known !== undefined) return known;
  const fields = Object.entries(command.args ?? {}).map(([name, type]) => {
    const needed = TYPES[type.replace("?", "") as ArgumentType]();
    return [name, type.endsWith("?") ? z.optional(needed) : needed] as const;
  });
  const schema = z.strictObject(Object.fromEntries(fields));
  schemas.set(command, schema);
  return schema;
}

/** The arguments of a command. Throws CommandError. */
export function checkArguments(command: Command, args: unknown): Arguments {
  return checkShape(schemaOf(command), args) as Arguments;
}

/** A value of a shape. @param within what it is a part of, as `backend.data`. Throws CommandError. */
export function checkShape<S extends z.ZodMiniType>(schema: S, value: unknown, within?: string): z.output<S> {
  // The reader's objects have no prototype, which zod would not take for plain ones everywhere.
  const result = schema.safeParse(
    typeof value === "object" && value !== null ? structuredClone(value) : value,
  );
  if (result.success) return result.data;
  throw new CommandError(complaint(result.error.issues, value, within));
}

type Issue = z.core.$ZodIssue;

/** QEMU looks at the arguments it knows in their order, and at unknown ones at last. */
function complaint(issues: readonly Issue[], value: unknown, within?: string): string {
  const full = (path: readonly string[]) =>
    [...(within === undefined ? [] : [within]), ...path].join(".") || "data";
  const known = issues.find((issue) => issue.code !== "unrecognized_keys");
  if (known === undefined) {
    const [unknown] = issues.flatMap((issue) => (issue.code === "unrecognized_keys" ? issue.keys : []));
    return `Parameter '${full([String(unknown)])}' is unexpected`;
  }
  const path = known.path.map(String);
  const name = full(path);
  let at: unknown = value;
  for (const step of path) at = typeof at === "object" && at !== null ? Reflect.get(at, step) : undefined;
  if (at === undefined) return `Parameter '${name}' is missing`;
  const expected = known.code === "invalid_type" ? known.expected : "object";
  return `Invalid parameter type for '${name}', expected: ${EXPECTED[expected] ?? expected}`;
}
