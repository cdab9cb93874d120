/** Commands of the QEMU object model: qom-list, qom-get, qom-set, info qom-tree. */
import { encodeJson } from "../json.ts";
import { type Command, CommandError, itemsOf, memberOf, stringArgument } from "./command.ts";
import { formatTree, getProperty, listProperties, resolvePath } from "./qom-path.ts";
import { qomTree } from "./qom-tree.ts";

/** The command table's rows. */
export const QOM_COMMANDS: readonly Command[] = [
  {
    qmp: "qom-get",
    hmp: ["qom-get"],
    help: "read a property of a QOM object",
    args: { path: "str", property: "str" },
    run: ({ machine }, args) =>
      getProperty(qomTree(machine), stringArgument(args, "path"), stringArgument(args, "property")),
    print: (result) => `${encodeJson(result, true)}\n`,
  },
  {
    qmp: "qom-list",
    hmp: ["qom-list"],
    help: "list the properties of a QOM object",
    args: { path: "str" },
    hmpArgs: { usage: "path", positional: [{ name: "path", type: "str", optional: true }] },
    run({ machine }, args) {
      if (args["path"] === undefined) return [];
      return listProperties(resolvePath(qomTree(machine), stringArgument(args, "path"), true).object);
    },
    print(result, args) {
      // Without a path, QEMU's HMP prints the root's name instead of a list.
      if (args["path"] === undefined) return "/\n";
      return itemsOf(result)
        .map((property) => `${memberOf(property, "name")} (${memberOf(property, "type")})\n`)
        .join("");
    },
  },
  {
    qmp: "qom-set",
    hmp: ["qom-set"],
    help: "set a property of a QOM object (-j: the value is JSON; no property is writable)",
    args: { path: "str", property: "str", value: "any" },
    hmpArgs: {
      usage: "[-j] path property value",
      positional: [
        { name: "path", type: "str" },
        { name: "property", type: "str" },
        { name: "value", type: "rest" },
      ],
      flags: { "-j": "json" },
    },
    run({ machine }, args) {
      const path = stringArgument(args, "path");
      const property = stringArgument(args, "property");
      const root = qomTree(machine);
      // Reports an unknown property first, as QEMU does.
      getProperty(root, path, property);
      const { type } = resolvePath(root, path).object;
      throw new CommandError(`Property '${type}.${property}' is not writable`);
    },
  },
  {
    hmp: ["info qom-tree"],
    help: "show the QOM composition tree",
    hmpArgs: { usage: "[path]", positional: [{ name: "path", type: "str", optional: true }] },
    run: ({ machine }, args) => formatTree(qomTree(machine), stringArgument(args, "path") || "/machine"),
    print: (result) => String(result),
  },
];
