/** Commands that describe nitro's own interface: QMP commands and events, command line options. */
import type { Json } from "../json.ts";
import type { CommandLineOptionInfo } from "../machine-view.ts";
import { type ArgumentType, type Command, CommandError, stringArgument } from "./command.ts";

/** Returns the rows. @param commands the whole command table, which includes these rows. */
export function introspectionCommands(commands: () => readonly Command[]): readonly Command[] {
  return [
    {
      qmp: "query-commands",
      help: "show the QMP commands",
      run: () => commands().flatMap(({ qmp }) => (qmp === undefined ? [] : [{ name: qmp }])),
    },
    {
      qmp: "query-qmp-schema",
      help: "show the QMP commands with their arguments, and the events",
      run: () => qmpSchema(commands()),
    },
    {
      qmp: "query-command-line-options",
      help: "show the command line options with their parameters",
      args: { option: "str?" },
      run({ machine: { commandLineOptions } }, args) {
        const name = stringArgument(args, "option");
        if (args["option"] === undefined) return commandLineOptions.map(toJson);
        const matches = commandLineOptions.filter(({ option }) => option === name);
        // As QEMU's qmp_query_command_line_options() reports it.
        if (matches.length === 0) throw new CommandError(`invalid option name: ${name}`);
        return matches.map(toJson);
      },
    },
  ];
}

function toJson({ option, parameters }: CommandLineOptionInfo): Json {
  return { option, parameters: parameters.map((parameter) => ({ ...parameter })) };
}

/** The events that nitro emits, with the types of their data. */
const EVENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  GUEST_PANICKED: { action: "str" },
  RESUME: {},
  SHUTDOWN: { guest: "bool", reason: "str" },
  STOP: {},
};

/** QAPI's built-in types, with their JSON types. */
const BUILTIN_TYPES: Readonly<Record<string, string>> = {
  any: "value",
  bool: "boolean",
  int: "int",
  str: "string",
};

/** The name of the object type without members. Type names have no meaning to clients: qapi/introspect.json. */
const EMPTY_OBJECT = "0";

interface SchemaMember {
  readonly name: string;
  readonly type: string;
  /** QAPI marks an optional member by a default of null. */
  readonly default?: null;
}

/** Returns the SchemaInfo list of query-qmp-schema: qapi/introspect.json. */
function qmpSchema(commands: readonly Command[]): Json {
  const objects: Json[] = [{ name: EMPTY_OBJECT, "meta-type": "object", members: [] }];
  const objectType = (members: readonly SchemaMember[]): string => {
    if (members.length === 0) return EMPTY_OBJECT;
    const name = String(objects.length);
    objects.push({ name, "meta-type": "object", members: members.map((member) => ({ ...member })) });
    return name;
  };
  const commandInfos = commands.flatMap(({ qmp, args = {} }) => {
    if (qmp === undefined) return [];
    const members = Object.entries(args).map(([name, type]) => {
      const member = { name, type: schemaType(type.replace("?", "") as ArgumentType) };
      return type.endsWith("?") ? { ...member, default: null } : member;
    });
    return [{ name: qmp, "meta-type": "command", "arg-type": objectType(members), "ret-type": "any" }];
  });
  const eventInfos = Object.entries(EVENTS).map(([name, data]) => {
    const members = Object.entries(data).map(([member, type]) => ({ name: member, type }));
    return { name, "meta-type": "event", "arg-type": objectType(members) };
  });
  const builtins = Object.entries(BUILTIN_TYPES).map(([name, json]) => {
    return { name, "meta-type": "builtin", "json-type": json };
  });
  const arrays = [{ name: "[str]", "meta-type": "array", "element-type": "str" }];
  return [...commandInfos, ...eventInfos, ...objects, ...arrays, ...builtins];
}

function schemaType(type: ArgumentType): string {
  if (type === "strList") return "[str]";
  return type === "ChardevBackend" ? "any" : type;
}
