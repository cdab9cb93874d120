import { describe, expect, test } from "bun:test";
import { LAUNCH_SYNTAX } from "../../../src/cli/command-line.ts";
import { type ArgsRules, type SubcommandArgsDef, subcommandArgs } from "../../../src/cli/subcommand-args.ts";
import { userErrorOf } from "../../support/error-of.ts";

const DEFINITIONS: SubcommandArgsDef = {
  action: { type: "positional", valueHint: "ACTION" },
  memory: { type: "string", valueHint: "SIZE", repeats: true },
  cpus: { type: "string", alias: "c" },
  json: { type: "boolean" },
};
const POOL: ArgsRules = { args: DEFINITIONS, command: "nitro pool" };
const CHECK: ArgsRules = {
  args: { json: { type: "boolean" } },
  command: "nitro check",
  launch: LAUNCH_SYNTAX,
};

function parsed(typed: readonly string[], rules = POOL) {
  const { options, operands } = subcommandArgs(typed, rules);
  return { options: options.map(({ name, value }) => [name, value]), operands };
}

describe("subcommand arguments", () => {
  test.each([
    [["status", "--json"], [["json", ""]], ["status"]],
    [
      ["--c", "2", "-memory", "1G"],
      [
        ["cpus", "2"],
        ["memory", "1G"],
      ],
      [],
    ],
    [
      ["--memory=1G", "--memory", "2G"],
      [
        ["memory", "1G"],
        ["memory", "2G"],
      ],
      [],
    ],
    [["--cpus", "--json"], [["cpus", "--json"]], []],
    [["-"], [], ["-"]],
    [["--cpus="], [["cpus", ""]], []],
  ])("subcommand arguments: %j", (typed, options, operands) => {
    expect(parsed(typed)).toEqual({ options, operands });
  });

  test("subcommand arguments: an option that repeats has all of its values, and a last one", () => {
    const args = subcommandArgs(["-memory", "1", "-cpus", "2", "-memory", "3"], POOL);
    expect(args.all("memory")).toEqual(["1", "3"]);
    expect(args.last("memory")).toBe("3");
    expect([args.has("cpus"), args.has("json"), args.last("json")]).toEqual([true, false, undefined]);
    expect(args.all("json")).toEqual([]);
    expect(userErrorOf(() => args.required("json", "why", "type this"))).toEqual({
      what: "-json",
      why: "missing; why",
      hint: "type this",
    });
  });

  test.each([
    [["--nosuch", "1"], "--nosuch", "invalid option", "nitro pool -help lists the options"],
    [["--toString"], "--toString", "invalid option", "nitro pool -help lists the options"],
    [["--"], "--", "invalid option", "nitro pool -help lists the options"],
    [["-action", "x"], "-action", "invalid option", "nitro pool -help lists the options"],
    [["--cpu", "1"], "--cpu", "invalid option", "did you mean --cpus?"],
    [["--cpus", "1", "--c", "2"], "--c", "is given twice", "leave one of them out"],
    [["--cpus"], "--cpus", "requires an argument", "--cpus VALUE"],
    [["--json=on"], "--json", "accepts no argument", "write --json alone"],
    [["status", "now"], "now", "unexpected argument", "nitro pool -help shows the usage"],
    [["status", ""], "''", "unexpected argument", "nitro pool -help shows the usage"],
  ])("subcommand arguments: %j is refused", (typed, what, why, hint) => {
    expect(userErrorOf(() => subcommandArgs(typed, POOL))).toEqual({ what, why, hint });
  });
});

describe("subcommand with launch options", () => {
  test("launch options: are scanned together with those of the subcommand", () => {
    expect(parsed(["-json", "-append", "-json", "-m", "1G", "--m", "2G"], CHECK).options).toEqual([
      ["json", ""],
      ["append", "-json"],
      ["m", "1G"],
      ["m", "2G"],
    ]);
  });

  test.each([
    [["-json", "-json"], "-json", "is given twice"],
    [["-m=1G"], "-m=1G", "invalid option"],
    [["-drive", "x"], "-drive", "an enclave has no disks"],
    [
      ["app.eif"],
      "app.eif",
      "QEMU reads an argument without a dash as a disk image, and an enclave has no disks",
    ],
  ])("launch options: %j is refused as in a launch", (typed, what, why) => {
    const error = userErrorOf(() => subcommandArgs(typed, CHECK));
    expect([error.what, error.why]).toEqual([what, why]);
  });
});
