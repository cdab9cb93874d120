import { describe, expect, test } from "bun:test";
import { problemError } from "../../../src/host/problem.ts";
import { shellQuote } from "../../../src/sys/shell-quote.ts";

describe("problem", () => {
  test("shell quoting: quotes only what a shell would interpret", () => {
    expect(["a-b_c./:=", "", "it's $x"].map(shellQuote)).toEqual(["a-b_c./:=", "''", "'it'\\''s $x'"]);
  });

  test("launch error: the kernel's message, the reason, and a hint that begins with the command", () => {
    const problem = {
      why: "nothing is there",
      command: "make it",
      options: ["-m", "1G"],
      advice: "or leave it",
    };
    const error = problemError("WHAT", problem, "No such file (ENOENT)");
    expect([error.what, error.why, error.hint]).toEqual([
      ...["WHAT", "No such file (ENOENT): nothing is there", "make it; use -m 1G; or leave it"],
    ]);
    expect(error.remedy).toEqual({ command: "make it", options: ["-m", "1G"] });
    expect(problemError("WHAT", { why: "so" }).hint).toBeUndefined();
  });
});
