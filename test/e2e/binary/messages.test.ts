/** What the program prints and returns must be true, whatever names and streams it is given. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fakeInitrd, fakeKernel } from "../launch/images.ts";
import { built, nitro, runCommand } from "./nitro.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-messages-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
writeFileSync(join(directory, "kernel"), "no kernel");
writeFileSync(join(directory, "bzImage"), fakeKernel());
writeFileSync(join(directory, "initrd"), fakeInitrd());

/** Runs the program from a shell, with a redirection. */
function redirected(redirection: string, ...args: string[]) {
  const command = `"$@" ${redirection}`;
  return runCommand(["sh", "-c", command, "sh", built("nitro"), ...args], { cwd: directory });
}

describe("a standard output that is closed", () => {
  test.each([
    [["-version"]],
    [["-help"]],
    [["help", "memory"]],
    [["licenses"]],
    [["check", "-json", "-kernel", "kernel"]],
    [["-accel", "help"]],
  ])("nitro %j reports it and returns 1", (args) => {
    const { status, err } = redirected(">&-", ...args);
    expect(err).toContain(
      "standard output: not all of the output could be written: Bad file descriptor (EBADF)",
    );
    expect(status).toBe(1);
  });

  test("eif build -o - reports it", () => {
    const { status, err } = redirected(
      ">&-",
      "eif",
      "build",
      "-o",
      "-",
      "-kernel",
      "bzImage",
      "-initrd",
      "initrd",
    );
    expect(err).toContain("standard output is closed");
    expect(status).toBe(1);
  });

  test("standard output: an open /dev/null is no closed standard output", () => {
    for (const redirection of [">/dev/null", "1<>/dev/null"])
      expect(redirected(redirection, "-version").status).toBe(0);
  });
});

/** The characters of a text that control a terminal or the direction of text, line feeds excepted. */
function controls(text: string): string[] {
  return [...text].filter((char) => char !== "\n" && /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u.test(char));
}

describe("names", () => {
  const commands = (name: string): string[][] => [
    [name],
    ["-kernel", name],
    ["-kernel", "kernel", "-initrd", name],
    ["-kernel", "kernel", "-pidfile", `${name}/pid`],
    [`-kernel=${name}`],
    ["-readconfig", name],
    ["eif", "describe", name],
    ["eif", "build", "-kernel", name, "-o", "x"],
    ["eif", "build", "-kernel", "kernel", "-initrd", name, "-o", `${name}/x`],
    ["eif", "extract", "kernel", "-o", name],
    ["-kernel", "kernel", "-serial", `file:${name}/x`],
    ["-kernel", "kernel", "-name", name],
    ["-kernel", "kernel", "-accel", name],
    ["-kernel", "kernel", "-machine", `{"kernel":{"${name.replaceAll(/[^a-z]/g, "")}":1}}`],
  ];

  test("names: with shell characters are quoted in every hint", () => {
    const name = "a;touch pwned;.eif";
    for (const args of commands(name)) {
      const { err, status } = nitro(args, { cwd: directory });
      expect([args, status]).toEqual([args, 1]);
      const hint = err.split("\n").find((line) => line.startsWith("hint: ")) ?? "";
      expect(hint.replaceAll(/'[^']*'/g, "")).not.toContain(";touch");
    }
  });

  test("names: with line feeds, escapes and bidi controls print as one line without control characters", () => {
    for (const name of ["a\nhint: rm -rf b", "a\x1b]0;title\x07", "a\u202efie.b", "a\u2066b\u2028c"]) {
      for (const args of commands(name)) {
        const { err, out } = nitro(args, { cwd: directory });
        expect([args, controls(out + err)]).toEqual([args, []]);
        expect(err.split("\n").filter((line) => line.startsWith("hint: rm"))).toEqual([]);
      }
    }
  });

  test("names: that no file can have are errors of the user's, without a stack", () => {
    const names = ["x".repeat(300), "x/".repeat(3000), `${"l/".repeat(50)}x`, "kernel/x"];
    for (const name of names) {
      for (const args of commands(name)) {
        const { err, status } = nitro(args, { cwd: directory });
        expect([args.map((arg) => arg.slice(0, 40)), status]).toEqual([
          args.map((arg) => arg.slice(0, 40)),
          1,
        ]);
        expect(err).not.toMatch(/internal error|^\s+at /m);
      }
    }
  });
});
