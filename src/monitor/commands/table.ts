/** The command table: every command of HMP and QMP, one row each. */
import { hmpHelp } from "../hmp/help.ts";
import { CHARDEV_COMMANDS } from "./chardev.ts";
import { type Command, CommandError, integerArgument, stringArgument } from "./command.ts";
import { DESCRIPTOR_COMMANDS } from "./descriptors.ts";
import { introspectionCommands } from "./introspection.ts";
import { MACHINE_COMMANDS } from "./machine.ts";
import { QOM_COMMANDS } from "./qom.ts";
import { RUN_STATE_COMMANDS } from "./run-state.ts";

/** Commands that bridge the two protocols, or list HMP's commands. */
const MONITOR_COMMANDS: readonly Command[] = [
  {
    qmp: "human-monitor-command",
    help: "run an HMP command line and return its output",
    args: { "command-line": "str", "cpu-index": "int?" },
    run({ machine, runLine }, args) {
      const cpu = integerArgument(args, "cpu-index");
      if (args["cpu-index"] !== undefined && (cpu < 0 || cpu >= machine.cpus().length))
        throw new CommandError("Parameter 'cpu-index' expects a CPU number");
      return runLine(stringArgument(args, "command-line"));
    },
  },
  {
    hmp: ["help", "?"],
    help: "show the list of commands, or the help of one",
    hmpArgs: { usage: "[cmd]", positional: [{ name: "name", type: "rest", optional: true }] },
    run: (_, args) => hmpHelp(COMMANDS, stringArgument(args, "name")),
    print: (result) => String(result),
  },
];

/** The table. */
export const COMMANDS: readonly Command[] = [
  ...RUN_STATE_COMMANDS,
  ...MACHINE_COMMANDS,
  ...QOM_COMMANDS,
  ...CHARDEV_COMMANDS,
  ...DESCRIPTOR_COMMANDS,
  ...introspectionCommands(() => COMMANDS),
  ...MONITOR_COMMANDS,
];

/** Returns the command of a QMP name. */
export function findQmpCommand(name: string): Command | undefined {
  return COMMANDS.find(({ qmp }) => qmp === name);
}

/** Returns the command of an HMP name, such as "info status". */
export function findHmpCommand(name: string): Command | undefined {
  return COMMANDS.find(({ hmp }) => hmp?.includes(name));
}
