/**
 * The executable is copied to machines and started by root: nothing that another user can write (its working directory,
 * its environment) makes it run, load, open or write anything.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HostileDirectory } from "./hostile.ts";
import { built, nitro, runCommand } from "./nitro.ts";

const hostile = new HostileDirectory();
afterAll(() => hostile[Symbol.dispose]());
const PATH = process.env["PATH"] ?? "";
const plain = nitro(["-version"], { cwd: "/" });

test("version: is printed", () => {
  expect(plain.out).toMatch(/^QEMU emulator version [\d.]+ \(nitro [\d.]+\)\n/);
  expect(plain.status).toBe(0);
});

test("working directory: its files have no effect", () => {
  expect(nitro(["-version"], { cwd: hostile.path })).toEqual(plain);
  expect([hostile.ran, hostile.made()]).toEqual([false, []]);
});

describe("environment", () => {
  test.each(hostile.variables)("environment: %s=%s has no effect", (name, value) => {
    expect(nitro(["-version"], { cwd: hostile.path, env: { PATH, [name]: value } })).toEqual(plain);
    expect([hostile.ran, hostile.made()]).toEqual([false, []]);
  });

  test("environment: all variables at once have no effect on a launch that fails", () => {
    const env = { PATH, ...Object.fromEntries(hostile.variables) };
    const { err, out, status } = nitro(["-kernel", "/no/such"], { cwd: hostile.path, env });
    expect({ err, out, status }).toEqual({
      out: "",
      err:
        "nitro: -kernel /no/such: No such file or directory (ENOENT)\n" +
        "hint: check the path; a relative one starts at the working directory\n",
      status: 1,
    });
    expect([hostile.ran, hostile.made()]).toEqual([false, []]);
  });

  test("environment: a patched name with one byte removed has no effect", () => {
    for (const name of ["UN_OPTIONS", "UN_BE_BUN", "", "UN_INSPECT"]) {
      const env = [`PATH=${PATH}`, `${name}=--preload=${hostile.script}`];
      const ran = runCommand(["env", "-i", ...env, built("nitro"), "-version"], { cwd: hostile.path });
      expect([name, ran.out]).toEqual([name, plain.out]);
      expect(hostile.ran).toBe(false);
    }
  });

  test("environment: an empty string and an empty environment have no effect", () => {
    const script = `import os,sys
os.execve(sys.argv[1], [sys.argv[1], "-version"], {})`;
    expect(runCommand(["python3", "-c", script, built("nitro")], { cwd: hostile.path })).toEqual(plain);
    const libc = `import ctypes,sys
argv=(ctypes.c_char_p*3)(sys.argv[1].encode(), b"-version", None)
envp=(ctypes.c_char_p*4)(b"", b"=", ("=--preload=" + sys.argv[2]).encode(), None)
ctypes.CDLL(None).execve(sys.argv[1].encode(), argv, envp)`;
    const command = ["python3", "-c", libc, built("nitro"), hostile.script];
    expect(runCommand(command, { cwd: hostile.path })).toEqual(plain);
    expect(hostile.ran).toBe(false);
  });
});

/** Returns whether a text occurs in the program's calls about signals and the exit of its parent. */
function callsAbout(word: string, program: string, variable: string): boolean {
  const strace = ["strace", "-f", "-e", "trace=prctl,rt_sigaction", "-E", variable, program, "-version"];
  const { err, status } = runCommand(strace, { cwd: hostile.path });
  expect([status, err.includes("rt_sigaction(")]).toEqual([0, true]);
  return err.includes(word);
}

describe("environment, seen in system calls", () => {
  test("environment: the parent's exit does not end this program", () => {
    expect(callsAbout("PR_SET_PDEATHSIG", built("nitro"), "BUN_FEATURE_FLAG_NO_ORPHANS=1")).toBe(false);
  });

  test("environment: the signal by which the engine stops its threads is the default one", () => {
    expect(callsAbout("SIGUSR1", built("nitro"), "JSC_SIGNAL_FOR_GC=10")).toBe(false);
  });
});

describe("arguments of Bun", () => {
  test.each([
    ["--preload=SCRIPT", "--preload=SCRIPT: invalid option"],
    ["--print", "--print: invalid option"],
    ["--eval", "--eval: invalid option"],
    ["--inspect", "--inspect: invalid option"],
    ["--cwd=/", "--cwd=/: invalid option"],
    ["--bun", "--bun: invalid option"],
    [
      "run",
      "unknown command 'run' (commands: check, pool, eif, help, version, licenses; to launch: nitro -kernel FILE)",
    ],
  ])("Bun's arguments: %s has no effect", (word, line) => {
    const { out, err, status } = nitro([word.replace("SCRIPT", hostile.script)], { cwd: hostile.path });
    expect(err).toStartWith(`nitro: ${line.replace("SCRIPT", hostile.script)}\n`);
    expect({ out, status, ran: hostile.ran }).toEqual({ out: "", status: 1, ran: false });
  });
});

test("argv[0]: has no effect", () => {
  const script = `import os,sys
os.execve(sys.argv[1], [sys.argv[2], "-version"], {})`;
  for (const name of ["bun", "bunx", "node", "x".repeat(5000)]) {
    const { out } = runCommand(["python3", "-c", script, built("nitro"), name], { cwd: hostile.path });
    expect([name.slice(0, 10), out]).toEqual([name.slice(0, 10), plain.out]);
  }
});

describe("control: a program of the plain runtime", () => {
  const runtime = join(import.meta.dir, "../../../node_modules/bun/bin/bun.exe");

  test.skipIf(!existsSync(runtime))(
    "control: the plain runtime obeys BUN_OPTIONS, so that these tests can fail",
    () => {
      using directory = new HostileDirectory();
      writeFileSync(directory.file("plain.ts"), 'console.log("plain");\n');
      const program = directory.file("plain");
      const env = { PATH };
      const build = [runtime, "build", "--compile", directory.file("plain.ts"), "--outfile", program];
      expect(runCommand(build, { cwd: "/", env }).status).toBe(0);
      expect(runCommand([program], { cwd: "/", env }).out).toBe("plain\n");
      expect(directory.ran).toBe(false);
      const [name, value] = ["BUN_OPTIONS", `--preload=${directory.script}`];
      expect(runCommand([program], { cwd: "/", env: { PATH, [name]: value } }).out).toBe("evil\nplain\n");
      expect(directory.ran).toBe(true);
      // The plain runtime also obeys variables of the allocator and of the engine, and those that tie a process to its
      // parent.
      expect(runCommand([program], { env: { PATH, MIMALLOC_VERBOSE: "1" } }).err).toContain("mimalloc: ");
      expect(callsAbout("PR_SET_PDEATHSIG", program, "BUN_FEATURE_FLAG_NO_ORPHANS=1")).toBe(true);
      expect(callsAbout("SIGUSR1", program, "JSC_SIGNAL_FOR_GC=10")).toBe(true);
    },
  );
});
