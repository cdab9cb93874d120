/** All commands, a row each, and those that are about the table itself. */
import { CHARDEV_COMMANDS } from "./chardev.ts";
import { type Command, CommandError, text, whole } from "./command.ts";
import { MACHINE_COMMANDS } from "./machine.ts";
import { introspection } from "./qmp-schema.ts";
import { OBJECT_COMMANDS } from "./qom.ts";

/** HMP's lines end as a terminal wants them; QMP hands them over in one string. */
export function crlf(lines: string): string {
  return lines.replaceAll("\n", "\r\n");
}

const TABLE_COMMANDS: readonly Command[] = [
  {
    qmp: "query-commands",
    help: "the commands of QMP",
    run: () => COMMANDS.flatMap(({ qmp }) => (qmp === undefined ? [] : [{ name: qmp }])),
  },
  {
    qmp: "query-qmp-schema",
    help: "the commands of QMP with their arguments, and the events",
    run: () => introspection(COMMANDS),
  },
  {
    qmp: "human-monitor-command",
    help: "run a line of HMP and give what it prints",
    args: { "command-line": "str", "cpu-index": "int?" },
    run({ machine, runLine }, args) {
      const cpu = args["cpu-index"];
      if (
        cpu !== undefined &&
        (whole(args, "cpu-index") < 0 || whole(args, "cpu-index") >= machine.cpus().length)
      ) {
        throw new CommandError("Parameter 'cpu-index' expects a CPU number");
      }
      return crlf(runLine(text(args, "command-line")));
    },
  },
  {
    hmp: ["help", "?"],
    help: "list the commands, or tell about one",
    words: { usage: "[cmd]", read: [{ name: "name", type: "rest", optional: true }] },
    run: (_, args) => helpText(text(args, "name")),
    show: (answer) => String(answer),
  },
];

/** The table. */
export const COMMANDS: readonly Command[] = [
  ...MACHINE_COMMANDS,
  ...OBJECT_COMMANDS,
  ...CHARDEV_COMMANDS,
  ...TABLE_COMMANDS,
];

const INFO = "info ";

/** A command as help shows it: names, arguments and what it does. */
function helpLine({ hmp = [], words, args, help }: Command): string {
  const usage = words?.usage ?? Object.keys(args ?? {}).join(" ");
  return `${hmp.join("|")} ${usage} -- ${help}\n`;
}

const INFO_LINE = "info [subcommand] -- show what is asked for\n";

function named(name: string): Command | undefined {
  return COMMANDS.find(({ hmp }) => hmp?.includes(name));
}

/** What help prints: all commands, those of info, or one of them. */
export function helpText(name: string): string {
  const shown = COMMANDS.filter(({ hmp }) => hmp !== undefined);
  const sorted = (commands: readonly Command[]) => commands.map(helpLine).sort().join("");
  const isInfo = ({ hmp }: Command) => hmp?.[0]?.startsWith(INFO) ?? false;
  if (name === "") {
    const lines = [...shown.filter((command) => !isInfo(command)).map(helpLine), INFO_LINE];
    return lines.sort().join("");
  }
  if (name === "info") return sorted(shown.filter(isInfo));
  const [first = "", second = ""] = name.split(/\s+/);
  const asked = first === "info" ? INFO + second : first;
  const command = named(asked);
  return command === undefined ? `unknown command: '${name}'\n` : helpLine(command);
}

/** The command of QMP's name. */
export function qmpCommand(name: string): Command | undefined {
  return COMMANDS.find(({ qmp }) => qmp === name);
}

/** The command at the head of an HMP line, and the rest of the line; or what to say in its place. */
export function hmpCommand(line: string): { command: Command; rest: string } | { say: string } {
  const [, word = "", rest = ""] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
  if (word === "info") {
    const [, sub = "", subRest = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
    if (sub === "") return { say: helpText("info") };
    const command = named(INFO + sub);
    return command === undefined ? { say: `unknown command: 'info ${sub}'\n` } : { command, rest: subRest };
  }
  const command = named(word);
  return command === undefined ? { say: `unknown command: '${word}'\n` } : { command, rest };
}

/** What may stand at the head of a line, or after `info`, for completion. */
export function commandNames(afterInfo: boolean): string[] {
  const names = COMMANDS.flatMap(({ hmp }) => hmp ?? []);
  const info = names.filter((name) => name.startsWith(INFO)).map((name) => name.slice(INFO.length));
  return afterInfo ? info.sort() : [...names.filter((name) => !name.startsWith(INFO)), "info"].sort();
}
