import { describe, expect, test } from "bun:test";
import { version } from "../../../package.json" with { type: "json" };
import { built, nitro, runCommand } from "./nitro.ts";

describe("output only", () => {
  test.each([
    [["-version"], `QEMU emulator version 11.1.0 (nitro ${version})\n`],
    [["--version"], `QEMU emulator version 11.1.0 (nitro ${version})\n`],
    [["-help"], `nitro ${version}: launches `],
    [["--help"], `nitro ${version}: launches `],
    [["-h"], `nitro ${version}: launches `],
    [["version"], `nitro ${version} (`],
    [["help"], "usage: nitro -kernel FILE "],
    [["help", "memory"], "# memory\n\nAn enclave's memory "],
    [["help", "eif", "sign"], "nitro eif sign: "],
    [["-accel", "help"], "Accelerators supported by nitro:\nnitro\n"],
    [["-accel", "nitro,help"], "nitro-accel options:\n  cpu-ids=<int[-int]>"],
    [["-M", "help"], "Supported machines are:\nnitro "],
    [["-machine", "nitro,help"], "nitro-machine options:\n"],
    [["-cpu", "help"], "Available CPUs:\n  host\n"],
    [["-d", "help"], "Log items (comma separated):\nsyscalls "],
  ])("%p: is printed to standard output with status 0", (args, start) => {
    const { out, err, status } = nitro(args);
    expect(out).toStartWith(start);
    expect(out).toEndWith("\n");
    expect({ err, status }).toEqual({ err: "", status: 0 });
  });

  test("version: has the architecture and the runtime", () => {
    const own = /^nitro \d+\.\d+\.\d+ \((x86_64|aarch64), Bun \d+\.\d+\.\d+\)\n$/;
    expect(nitro(["version"]).out).toMatch(own);
    expect(nitro(["-version"]).out.replace(/^.*\n/, "")).toMatch(own);
  });

  /** How programs that start QEMU find its version in the output of -version. */
  test.each([
    ["lima: semantic version at the start", /^QEMU emulator version (\d+\.\d+\.\d+)/],
    [
      "avocado: version, then the package",
      /QEMU (?:PC )?emulator version\s([0-9]+\.[0-9]+\.[0-9]+)\s\(.*?\)/,
    ],
    ["mkosi, quickemu: the fourth word", /^(?:\S+ ){3}(\S+)/],
    ["virtme: the number after the word version", /version (\d+\.\d+\.\d+)/],
    ["shell scripts: the first word that begins with a digit", /(?:^|\s)(\d\S*)/],
  ])("-version: %s", (_name, pattern) => {
    const [line = ""] = nitro(["-version"]).out.split("\n");
    expect(pattern.exec(line)?.[1]).toBe("11.1.0");
  });

  test("help: lists the subcommands, and each has its own help", () => {
    const { out } = nitro(["-help"]);
    for (const name of ["check", "pool", "eif", "help"]) {
      expect(out).toMatch(new RegExp(`^  nitro ${name} +[a-z]`, "m"));
      expect(nitro([name, "-help"])).toMatchObject({ err: "", status: 0 });
      expect(nitro([name, "-help"]).out).toContain(`usage: nitro ${name} `);
    }
  });

  test("standard output: a reader that exits early is no error", () => {
    const { status } = runCommand(["sh", "-c", `${built("nitro")} -help | head -c 10 >/dev/null`]);
    expect(status).toBe(0);
  });
});

describe("errors", () => {
  test("no arguments: the message says that no image is given", () => {
    expect(nitro([])).toEqual({
      out: "",
      err: "nitro: no image given; usage: nitro -kernel app.eif\n",
      status: 1,
    });
  });

  test.each([
    [["-nosuch"], "hint: nitro -help lists the options\n"],
    [["-drive", "file=x"], "hint: put the files into the initrd, or send them over vsock\n"],
    [["-m=1G"], "hint: write the argument separately: -m 1G\n"],
    [["-kernel"], "hint: -kernel FILE\n"],
    [["-kernel", "/no/such"], "hint: check the path; a relative one starts at the working directory\n"],
  ])("%p: leaves standard output empty and prints a hint", (args, hint) => {
    const { out, err, status } = nitro(args);
    expect(out).toBe("");
    expect(err).toEndWith(hint);
    expect(err.split("\n").length).toBe(3);
    expect(status).toBe(1);
  });

  test.each([
    ["toString", "nitro -help shows the usage"],
    ["constructor", "nitro -help shows the usage"],
    ["__proto__", "nitro -help shows the usage"],
    ["run", "nitro -help shows the usage"],
    ["eiff", "did you mean 'nitro eif'?"],
    ["app.eif", "nitro -kernel app.eif"],
    ["describe-eif", "to describe an image: nitro eif describe app.eif"],
  ])("nitro %s: unknown command", (name, hint) => {
    const known = "(commands: check, pool, eif, help, version, licenses; to launch: nitro -kernel FILE)";
    expect(nitro([name])).toEqual({
      out: "",
      err: `nitro: unknown command '${name}' ${known}\nhint: ${hint}\n`,
      status: 1,
    });
  });

  test("closed standard descriptors: the message is the same", () => {
    for (const closed of ["<&-", ">&-", "<&- >&-"]) {
      const { err, status } = runCommand(["sh", "-c", `${built("nitro")} -nosuch ${closed}`]);
      expect([closed, err, status]).toEqual([
        closed,
        "nitro: -nosuch: invalid option\nhint: nitro -help lists the options\n",
        1,
      ]);
    }
    expect(runCommand(["sh", "-c", `${built("nitro")} -nosuch 2>&-`])).toEqual({
      out: "",
      err: "",
      status: 1,
    });
  });

  test.each(["-help", "-version", "-M help", "eif -help", "pool -help", "check -json -kernel /no/such"])(
    "%s: reports a full disk and fails",
    (args) => {
      const { err, status } = runCommand(["sh", "-c", `${built("nitro")} ${args} >/dev/full`]);
      expect(err).toBe(
        "nitro: standard output: not all of the output could be written: No space left on device (ENOSPC)\n",
      );
      expect(status).toBe(1);
    },
  );

  test("standard output: a reader that has closed the pipe before any output is a silent failure", () => {
    const script = `import os,sys
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
os.execv(sys.argv[1], [sys.argv[1], "-help"])`;
    const { err, status } = runCommand(["python3", "-c", script, built("nitro")]);
    expect({ err, status }).toEqual({ err: "", status: 1 });
  });

  test.each([
    ["-append", "'foo=\\351'"],
    ["-kernel", "'/tmp/\\374.eif'"],
    ["eif pcr", "'\\200'"],
  ])("%s: refuses bytes that are not UTF-8, because they would be changed", (option, bytes) => {
    const script = `exec ${built("nitro")} ${option} "$(printf ${bytes})"`;
    const { out, err, status } = runCommand(["sh", "-c", script]);
    expect(err).toMatch(
      /^nitro: .*\ufffd.*: not valid UTF-8; nitro would use another text than the one typed\nhint: /,
    );
    expect({ out, status }).toEqual({ out: "", status: 1 });
  });

  const NOT_EXECUTABLE =
    "nitro: memory: nitro cannot get executable memory, which it needs for system calls (bun:ffi requires the JIT)\n" +
    "hint: systemd: MemoryDenyWriteExecute=no; SELinux: allow execmem; a shell: ulimit -v unlimited\n";

  test("executable memory: a limit of the address space that leaves none is reported", () => {
    const script = `ulimit -v 2000000; exec ${built("nitro")} -version`;
    expect(runCommand(["sh", "-c", script])).toEqual({ out: "", err: NOT_EXECUTABLE, status: 1 });
  });

  /** prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), in Linux since 6.3; systemd uses a filter with the same effect. */
  const denied = (program: string, ...args: string[]) => [
    "python3",
    "-c",
    `import ctypes,os,sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)
os.execvp(sys.argv[1], sys.argv[1:])`,
    program,
    ...args,
  ];

  test.skipIf(runCommand(denied("true")).status === 77)(
    "executable memory: its prohibition is reported",
    () => {
      const ended = runCommand(denied(built("nitro"), "-version"));
      expect(ended).toEqual({ out: "", err: NOT_EXECUTABLE, status: 1 });
    },
  );
});
