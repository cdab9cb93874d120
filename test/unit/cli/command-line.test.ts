import { describe, expect, test } from "bun:test";
import { version } from "../../../package.json" with { type: "json" };
import { parseCommandLine } from "../../../src/cli/command-line.ts";
import { programText, runSubcommand } from "../../../src/cli/commands/command.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";
import { UserError } from "../../../src/sys/errors.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { userErrorOf } from "../../support/error-of.ts";

const around = { system: openSystem(), report() {}, toStderr() {}, stdout: 1 };

function noFile(path: string): string {
  throw new Error(`${path} is read`);
}

function asked(...words: string[]): string {
  const request = parseCommandLine(words, noFile);
  if ("print" in request) return request.print;
  if ("topic" in request) return `topic ${request.topic}`;
  return "launch" in request ? "a launch" : `subcommand ${request.subcommand.join(" ")}`;
}

describe("what is only printed", () => {
  test.each([
    [["-accel", "help"], "Accelerators supported by nitro:\nnitro\n"],
    [["-accel", "?"], "Accelerators supported by nitro:\nnitro\n"],
    [["-cpu", "help"], "Available CPUs:\n  host\n"],
    [["-display", "help"], "Available display backend types:\nnone\n"],
    [["-M", "help"], "Supported machines are:\nnitro                AWS Nitro Enclave (default)\n"],
  ])("%p", (words, text) => {
    expect(asked(...words)).toBe(text);
  });

  test("the properties of the accelerator and of the machine", () => {
    expect(asked("-accel", "nitro,help")).toMatch(/^nitro-accel options:\n {2}cpu-ids=<int\[-int\]>/);
    expect(asked("-accel", "nitro,help")).toContain("enclave-cid=<uint64>");
    expect(asked("-M", "nitro,?")).toMatch(/^nitro-machine options:\n/);
  });

  test("the items of -d", () => {
    expect(asked("-d", "help")).toMatch(
      /^Log items \(comma separated\):\nsyscalls {8}\S.*\nvsock {11}\S.*\n$/,
    );
  });

  test.each(["-help", "--help", "-h"])("%s is help", (word) => {
    expect(asked(word)).toBe("topic help");
  });

  test("the first request counts, wherever it stands", () => {
    expect(asked("-kernel", "x", "-version", "-help")).toBe("topic version");
    expect(asked("-m", "nonsense", "-help")).toBe("topic help");
  });

  test("a value that looks like a request is none", () => {
    expect(asked("-kernel", "x", "-append", "-h")).toBe("a launch");
    expect(asked("-kernel", "help")).toBe("a launch");
    expect(asked("-kernel", "x", "-append", "help")).toBe("a launch");
  });

  test("an unknown option comes before help, as QEMU has it", () => {
    expect(userErrorOf(() => parseCommandLine(["-help", "-nosuch"], noFile)).what).toBe("-nosuch");
  });
});

describe("the program's own texts", () => {
  test("the version is one line", async () => {
    expect(await programText("version")).toBe(
      `nitro ${version} (${process.arch === "arm64" ? "aarch64" : "x86_64"}, Bun ${Bun.version})\n`,
    );
  });

  test("help has every option and the exit statuses", async () => {
    const text = await programText("help");
    expect(text).toMatch(/^nitro \S+: launches (an )?AWS Nitro Enclaves? with QEMU's command line\n/);
    for (const { name } of LAUNCH_OPTIONS) expect(text).toMatch(new RegExp(`^  -${name}\\b`, "m"));
    expect(text).toContain("  -machine, -M nitro[,prop=value...]\n");
    for (const status of [
      "0 stopped",
      "1 not launched",
      "3 ended before",
      "4 crashed",
      "5 ended by itself",
    ]) {
      expect(text).toContain(status);
    }
  });

  test("help has no line of more than 120 columns", async () => {
    const lines = (await programText("help")).split("\n");
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });
});

describe("a word without a dash", () => {
  test("at the head is a subcommand, with all that follows", () => {
    expect(asked("nosuch", "-m", "x")).toBe("subcommand nosuch -m x");
  });

  test("that names none is told as QEMU's disk image", async () => {
    expect(runSubcommand(["disk.img"], around)).rejects.toBeInstanceOf(UserError);
    expect(runSubcommand(["disk.img"], around)).rejects.toThrow("an enclave has no disks");
  });

  test.each(["toString", "constructor", "__proto__"])("%s names none either", async (word) => {
    expect(runSubcommand([word], around)).rejects.toBeInstanceOf(UserError);
  });

  test("after an option is no subcommand", () => {
    expect(userErrorOf(() => parseCommandLine(["-m", "1G", "eif"], noFile)).what).toBe("eif");
  });
});
