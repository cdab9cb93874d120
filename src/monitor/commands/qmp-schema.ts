/** query-qmp-schema: what is offered, in QMP's own description of itself (docs/devel/qapi-code-gen). */

import type { Json } from "../json.ts";
import type { ArgumentType, Command } from "./command.ts";

/** Events and their data. */
const EVENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  GUEST_PANICKED: { action: "str" },
  POWERDOWN: {},
  RESUME: {},
  SHUTDOWN: { guest: "bool", reason: "str" },
  STOP: {},
};

const BUILTINS: Readonly<Record<string, string>> = {
  any: "value",
  bool: "boolean",
  int: "int",
  str: "string",
};

const EMPTY = "0";

/** The types that arguments and answers are described by, and the commands and events. */
export function introspection(commands: readonly Command[]): Json {
  const objects: Json[] = [{ name: EMPTY, "meta-type": "object", members: [] }];
  const typeOf = (members: readonly { name: string; type: string; default?: null }[]): string => {
    if (members.length === 0) return EMPTY;
    const name = String(objects.length);
    objects.push({ name, "meta-type": "object", members: [...members] });
    return name;
  };
  const rows = commands.flatMap(({ qmp, args = {} }) => {
    if (qmp === undefined) return [];
    const members = Object.entries(args).map(([name, type]) => {
      const known = typeName(type.replace("?", "") as ArgumentType);
      return type.endsWith("?") ? { name, type: known, default: null } : { name, type: known };
    });
    return [{ name: qmp, "meta-type": "command", "arg-type": typeOf(members), "ret-type": "any" }];
  });
  const events = Object.entries(EVENTS).map(([name, data]) => {
    const members = Object.entries(data).map(([field, type]) => ({ name: field, type }));
    return { name, "meta-type": "event", "arg-type": typeOf(members) };
  });
  const builtins = Object.entries(BUILTINS).map(([name, json]) => ({
    name,
    "meta-type": "builtin",
    "json-type": json,
  }));
  const lists = [{ name: "[str]", "meta-type": "array", "element-type": "str" }];
  return [...rows, ...events, ...objects, ...lists, ...builtins];
}

function typeName(type: ArgumentType): string {
  if (type === "strList") return "[str]";
  return type === "ChardevBackend" ? "any" : type;
}
