import { describe, expect, test } from "bun:test";
import { type Arguments, type CommandContext, CommandError } from "../../../src/monitor/commands/command.ts";
import { COMMANDS, findQmpCommand } from "../../../src/monitor/commands/table.ts";
import { validateArguments } from "../../../src/monitor/commands/validate.ts";
import { hmpHelp } from "../../../src/monitor/hmp/help.ts";
import type { CommandLineOptionInfo, MachineView } from "../../../src/monitor/machine-view.ts";

const OPTIONS: readonly CommandLineOptionInfo[] = [
  { option: "name", parameters: [{ name: "guest", type: "string", help: "the enclave's name" }] },
  { option: "mon", parameters: [{ name: "pretty", type: "boolean", default: "off" }] },
];

/** Runs a QMP command on a machine that has nothing but command line options. */
function execute(name: string, args: Arguments = {}): unknown {
  const command = findQmpCommand(name);
  if (command === undefined) throw new Error(`no command ${name}`);
  const machine: Pick<MachineView, "commandLineOptions"> = { commandLineOptions: OPTIONS };
  const context = { machine } as CommandContext;
  return command.run(context, validateArguments(command, args));
}

describe("query-command-line-options", () => {
  test("query-command-line-options: returns every option with its parameters", () => {
    expect(execute("query-command-line-options")).toEqual(OPTIONS);
  });

  test("query-command-line-options: returns only the requested option", () => {
    expect(execute("query-command-line-options", { option: "mon" })).toEqual(OPTIONS.slice(1));
  });

  test("query-command-line-options: rejects an unknown option with QEMU's message", () => {
    expect(() => execute("query-command-line-options", { option: "nosuch" })).toThrow(
      new CommandError("invalid option name: nosuch"),
    );
    expect(() => execute("query-command-line-options", { option: 3 })).toThrow(
      new CommandError("Invalid parameter type for 'option', expected: string"),
    );
  });
});

describe("command table", () => {
  test("command table: has each name of each protocol once", () => {
    const qmp = COMMANDS.flatMap((command) => command.qmp ?? []);
    const hmp = COMMANDS.flatMap((command) => command.hmp ?? []);
    expect([qmp, hmp]).toEqual([[...new Set(qmp)], [...new Set(hmp)]]);
  });

  test("command table: is what query-commands and HMP's help list", () => {
    const names = COMMANDS.flatMap(({ qmp }) => (qmp === undefined ? [] : [{ name: qmp }]));
    expect(execute("query-commands")).toEqual(names);
    const help = hmpHelp(COMMANDS, "") + hmpHelp(COMMANDS, "info");
    for (const { hmp } of COMMANDS) if (hmp !== undefined) expect(help).toContain(`${hmp.join("|")} `);
  });

  test("command table: gives each command a help text that fits a terminal line", () => {
    for (const { hmp = [], help } of COMMANDS)
      expect([hmp, help.length < 80, help]).toEqual([hmp, true, help]);
  });
});
