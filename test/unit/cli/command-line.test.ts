import { describe, expect, test } from "bun:test";
import { parseCommandLine } from "../../../src/cli/command-line.ts";
import { userErrorOf } from "../../support/error-of.ts";

function noFile(path: string): string {
  throw new Error(`${path} is read`);
}

function asked(...args: string[]): string {
  const request = parseCommandLine(args, noFile);
  if ("print" in request) return request.print;
  return "launch" in request ? "a launch" : `subcommand ${request.subcommand.join(" ")}`;
}

describe("help and version", () => {
  test.each([
    [["-accel", "help"], "Accelerators supported by nitro:\nnitro\n"],
    [["-accel", "?"], "Accelerators supported by nitro:\nnitro\n"],
    [["-cpu", "help"], "Available CPUs:\n  host\n"],
    [["-display", "help"], "Available display backend types:\nnone\n"],
    [["-M", "help"], "Supported machines are:\nnitro                AWS Nitro Enclave (default)\n"],
  ])("help and version: %p", (words, text) => {
    expect(asked(...words)).toBe(text);
  });

  test("help: lists the properties of the accelerator and of the machine", () => {
    expect(asked("-accel", "nitro,help")).toMatch(/^nitro-accel options:\n {2}cpu-ids=<int\[-int\]>/);
    expect(asked("-accel", "nitro,help")).toContain("enclave-cid=<uint64>");
    expect(asked("-M", "nitro,?")).toMatch(/^nitro-machine options:\n/);
  });

  test("help: lists the items of -d", () => {
    expect(asked("-d", "help")).toMatch(
      /^Log items \(comma separated\):\nsyscalls {8}\S.*\nvsock {11}\S.*\n$/,
    );
  });

  test.each(["-help", "--help", "-h"])("help: %s prints help", (word) => {
    expect(asked(word)).toBe("subcommand -help");
  });

  test("help and version: the first one counts, wherever it is", () => {
    expect(asked("-kernel", "x", "-version", "-help")).toBe("subcommand version -qemu");
    expect(asked("-m", "nonsense", "-help")).toBe("subcommand -help");
  });

  test("help: is not recognized in the argument of another option", () => {
    expect(asked("-kernel", "x", "-append", "-h")).toBe("a launch");
    expect(asked("-kernel", "help")).toBe("a launch");
    expect(asked("-kernel", "x", "-append", "help")).toBe("a launch");
  });

  test("help: an unknown option is reported before help is printed, as in QEMU", () => {
    expect(userErrorOf(() => parseCommandLine(["-help", "-nosuch"], noFile)).what).toBe("-nosuch");
  });
});

describe("first argument", () => {
  test("first argument: without a dash it is a subcommand, with all that follows", () => {
    expect(asked("nosuch", "-m", "x")).toBe("subcommand nosuch -m x");
  });

  test("argument without a dash: after an option it is not a subcommand", () => {
    expect(userErrorOf(() => parseCommandLine(["-m", "1G", "eif"], noFile)).what).toBe("eif");
  });
});
