import { describe, expect, test } from "bun:test";
import { commandHelp, subcommandArgs } from "../../../src/cli/subcommand-args.ts";
import { userErrorOf } from "../../support/error-of.ts";

const table = {
  memory: { type: "string", valueHint: "SIZE", description: "how much" },
  cpus: { type: "string" },
  json: { type: "boolean", description: "for programs" },
} as const;

function read(...typed: string[]) {
  const { values, words } = subcommandArgs("pool", typed, table, ["memory"]);
  return { values: Object.fromEntries(values), words };
}

describe("the words of a subcommand", () => {
  test.each([
    [["status", "--json"], { values: { json: [""] }, words: ["status"] }],
    [["--cpus", "2", "-memory", "1G"], { values: { cpus: ["2"], memory: ["1G"] }, words: [] }],
    [["--memory=1G", "--memory", "2G"], { values: { memory: ["1G", "2G"] }, words: [] }],
    [["--cpus", "--json"], { values: { cpus: ["--json"] }, words: [] }],
    [["-"], { values: {}, words: ["-"] }],
    [["--cpus="], { values: { cpus: [""] }, words: [] }],
  ])("%j", (typed, expected) => {
    expect(read(...typed)).toEqual(expected);
  });

  test.each([
    [["--nosuch", "1"], "--nosuch", "invalid option"],
    [["--toString"], "--toString", "invalid option"],
    [["--"], "--", "invalid option"],
    [["--cpus", "1", "--cpus", "2"], "--cpus", "is given twice"],
    [["--cpus"], "--cpus", "requires an argument"],
    [["--json=on"], "--json", "takes no argument"],
  ])("%j is refused", (typed, what, why) => {
    const told = userErrorOf(() => read(...typed));
    expect([told.what, told.why]).toEqual([what, why]);
    expect(told.hint).not.toBe("");
  });

  test("help has a row for each", () => {
    expect(commandHelp("does it", "nitro pool [option...]", table)).toBe(
      "does it\n\nusage: nitro pool [option...]\n\n  --memory SIZE\n        how much\n  --cpus VALUE\n        \n" +
        "  --json\n        for programs\n",
    );
  });
});
