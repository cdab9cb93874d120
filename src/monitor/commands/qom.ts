/** Commands about the object tree. */

import { encodeJson } from "../json.ts";
import { type Command, CommandError, items, member, text } from "./command.ts";
import { objectTree, propertiesOf, resolve, treeText, valueAt } from "./qom-tree.ts";

/** The rows. */
export const OBJECT_COMMANDS: readonly Command[] = [
  {
    qmp: "qom-get",
    hmp: ["qom-get"],
    help: "read a property of an object",
    args: { path: "str", property: "str" },
    run: ({ machine }, args) => valueAt(objectTree(machine), text(args, "path"), text(args, "property")),
    show: (answer) => `${encodeJson(answer, true)}\n`,
  },
  {
    qmp: "qom-list",
    hmp: ["qom-list"],
    help: "list the properties of an object",
    args: { path: "str" },
    words: { usage: "path", read: [{ name: "path", type: "str", optional: true }] },
    run: ({ machine }, args) =>
      args["path"] === undefined
        ? []
        : propertiesOf(resolve(objectTree(machine), text(args, "path"), true)[1]),
    // Without a path HMP names the root.
    show: (answer, args) =>
      args["path"] === undefined
        ? "/\n"
        : items(answer)
            .map((one) => `${member(one, "name")} (${member(one, "type")})\n`)
            .join(""),
  },
  {
    qmp: "qom-set",
    hmp: ["qom-set"],
    help: "write a property of an object (-j: the value is JSON), which an enclave's objects do not take",
    args: { path: "str", property: "str", value: "any" },
    words: {
      usage: "[-j] path property value",
      read: [
        { name: "path", type: "str" },
        { name: "property", type: "str" },
        { name: "value", type: "rest" },
      ],
      flags: { "-j": "json" },
    },
    run({ machine }, args) {
      const property = text(args, "property");
      const root = objectTree(machine);
      valueAt(root, text(args, "path"), property);
      const [, { type }] = resolve(root, text(args, "path"));
      throw new CommandError(`Property '${type}.${property}' is not writable`);
    },
  },
  {
    hmp: ["info qom-tree"],
    help: "the objects, as a tree",
    words: { usage: "[path]", read: [{ name: "path", type: "str", optional: true }] },
    run: ({ machine }, args) => treeText(objectTree(machine), text(args, "path") || "/machine"),
    show: (answer) => String(answer),
  },
];
