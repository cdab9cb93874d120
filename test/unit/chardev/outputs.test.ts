import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteOutput } from "../../../src/chardev/byte-output.ts";
import { fileChardev } from "../../../src/chardev/file.ts";
import { nullChardev } from "../../../src/chardev/null.ts";
import { ChardevTable } from "../../../src/chardev/table.ts";
import { SyscallError } from "../../../src/sys/errors.ts";
import { viewOf } from "../../../src/sys/libc.ts";
import { pinnedBuffer } from "../../../src/sys/pinned-buffer.ts";
import { ReopenableFiles } from "../../../src/sys/reopenable-files.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-outputs-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const system = openSystem();
const ROOT = join(import.meta.dir, "../../..");

function write(output: ByteOutput, text: string): number {
  const buffer = pinnedBuffer(new TextEncoder().encode(text));
  return output.write(buffer, 0, buffer.bytes.length);
}

/** Opens a file as a launch does. */
function file({ path, append }: { readonly path: string; readonly append: boolean }) {
  return fileChardev(system, "f", path, new ReopenableFiles(system).open(path, append));
}

describe("file chardev", () => {
  test("file chardev: creates the file and writes everything at once", () => {
    const path = join(directory, "created");
    {
      using output = file({ path: path, append: false });
      expect(output.name).toBe(path);
      expect(write(output, "first ")).toBe(6);
      expect(write(output, "second")).toBe(6);
    }
    expect(readFileSync(path, "utf8")).toBe("first second");
  });

  test("file chardev: truncates an existing file and keeps its mode", () => {
    const path = join(directory, "old");
    writeFileSync(path, "old text", { mode: 0o640 });
    using output = file({ path: path, append: false });
    write(output, "new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  test("file chardev: throws a SyscallError with the user's path if the file cannot be created", () => {
    expect(() => file({ path: join(directory, "no/such"), append: false })).toThrow(
      new SyscallError("open", 2, join(directory, "no/such")),
    );
  });

  test("file chardev: fails with ENXIO at once on a FIFO without a reader", () => {
    const path = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", path]);
    expect(() => file({ path: path, append: false })).toThrow(new SyscallError("open", 6, path));
  });

  test("file chardev: returns the negative errno on a full disk", () => {
    using output = file({ path: "/dev/full", append: false });
    expect(write(output, "x")).toBe(-28);
  });

  test("file chardev: writes at the end of a file that is truncated while it is open", () => {
    const path = join(directory, "truncated");
    using output = file({ path, append: false });
    write(output, "before");
    writeFileSync(path, "");
    write(output, "after");
    expect(readFileSync(path, "utf8")).toBe("after");
  });

  test("file chardev: closes its descriptor at the end of its scope", () => {
    let fd = -1;
    {
      using output = file({ path: join(directory, "scoped"), append: false });
      fd = output.fd;
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toContain("flags:");
    }
    expect(openSystem().libc.close(fd)).toBe(-1);
  });
});

describe("log file", () => {
  /** Writes a text of 4 bytes after another, while the log's write(2) returns `results`, then everything. */
  function logged(results: number[], timestamp = false) {
    let errno = 0;
    let text = "";
    const fake = fakeLibc({
      write: (_fd, address, length) => {
        const result = results.shift() ?? Number(length);
        errno = result < 0 ? -result : 0;
        if (result > 0) text += new TextDecoder().decode(viewOf(Number(address), result));
        return Math.max(result, -1);
      },
      errno: () => errno,
    });
    const reported: string[] = [];
    const report = (line: string) => void reported.push(line);
    const written: number[] = [];
    {
      using table = new ChardevTable(
        fake,
        { escapeByte: undefined, exit() {}, report },
        [],
        new ReopenableFiles(fake),
      );
      const log = { path: `${directory}/log`, append: false, timestamp };
      table.open({ label: "n", typed: "n", backend: { kind: "null" }, mux: false, log });
      const device = table.claim("n", "n");
      for (const each of ["one ", "two ", "six "]) written.push(write(device, each));
    }
    return { text, reported, written };
  }
  const FAILED = `output to the log file ${directory}/log failed: `;

  test.each([
    [28, "No space left on device (ENOSPC)"],
    [122, "Disk quota exceeded (EDQUOT)"],
    [27, "File too large (EFBIG)"],
    [5, "Input/output error (EIO)"],
  ])(
    "log file: one that fails with errno %i misses bytes and records what comes later; the device has all",
    (errno, why) => {
      expect(logged([-errno, 3, -errno])).toEqual({
        text: "twosix ",
        reported: [
          `${FAILED}${why}; dropping output until it works again`,
          `output to the log file ${directory}/log works again; 5 bytes are missing`,
        ],
        written: [4, 4, 4],
      });
    },
  );

  test("log file: one that fails to the end reports what is missing", () => {
    const { reported } = logged([-28, -28, -28]);
    expect(reported[1]).toBe(`output to the log file ${directory}/log has ended; 12 bytes are missing`);
  });

  test("log file: takes the rest after a short write", () => {
    expect(logged([1, 1, 1])).toEqual({ text: "one two six ", reported: [], written: [4, 4, 4] });
  });

  test("log file: with timestamps, counts them as well", () => {
    const { text, reported } = logged([-28, -28], true);
    expect([text, reported[1]]).toEqual([
      "two six ",
      `output to the log file ${directory}/log works again; 29 bytes are missing`,
    ]);
  });
});

test("null chardev: discards everything and has no descriptor to poll", () => {
  using output = nullChardev("n");
  expect([write(output, "anything"), output.fd, output.name]).toEqual([8, -1, "null"]);
});

/**
 * Runs `body` in a process whose standard output is set up by `shell`, with a stdio chardev named `output`. Returns the
 * lines of its standard error, where `body` logs results; the last line is "end" unless the process failed.
 */
function withStdout(shell: string, body: string): string[] {
  const script = `
    import { stdioChardev } from "./src/chardev/stdio.ts";
    import { pinnedBuffer } from "./src/sys/pinned-buffer.ts";
    import { ReopenableFiles } from "../../../src/sys/reopenable-files.ts";
import { openSystem } from "./src/sys/system.ts";
    import { fstatSync, readFileSync } from "node:fs";
    const system = openSystem();
    const log = (...values) => console.error(values.join(" "));
    const flags = () => /flags:\\s+(\\d+)/.exec(readFileSync("/proc/self/fdinfo/1", "utf8"))[1];
    const nonBlocking = (text) => (Number.parseInt(text, 8) & 0o4000) !== 0;
    const buffer = pinnedBuffer(new Uint8Array(65536).fill(120));
    const write = (length) => output.write(buffer, 0, length);
    const output = stdioChardev(system, "s");
    ${body}
    log("end");
  `;
  const path = join(directory, "script.ts");
  writeFileSync(path, script.replaceAll('"./src', `"${ROOT}/src`));
  const command = shell.replace("PROGRAM", `${process.execPath} ${path}`);
  const { stderr } = Bun.spawnSync(["bash", "-c", command], { cwd: directory, timeout: 5000 });
  return stderr.toString().trimEnd().split("\n");
}

/** Writes until a write fails, at most 100 times, and logs the last result. */
const FILL = "let result; for (let i = 0; i < 100 && (result = write(65536)) > 0; i++); log(result);";

describe("stdio chardev", () => {
  test("stdio chardev: returns EAGAIN on a pipe that is not read, and does not set O_NONBLOCK on it", () => {
    const lines = withStdout("PROGRAM | (exec 0<&0; sleep 0.7)", `${FILL} log(nonBlocking(flags()));`);
    expect(lines).toEqual(["-11", "false", "end"]);
  });

  test("stdio chardev: returns EPIPE on a pipe whose reader has exited", () => {
    expect(withStdout("PROGRAM | true", "Bun.sleepSync(200); log(write(10));")).toEqual(["-32", "end"]);
  });

  test("stdio chardev: writes everything to a regular file", () => {
    const lines = withStdout("PROGRAM > out", `${FILL} log(output.fd, fstatSync(1).size);`);
    expect(lines).toEqual(["65536", "1 6553600", "end"]);
  });

  test("stdio chardev: returns EAGAIN on a socket that is not read", () => {
    const holder = join(directory, "with-socket.py");
    writeFileSync(
      holder,
      "import socket,subprocess,sys\na,b=socket.socketpair()\n" +
        "p=subprocess.Popen(sys.argv[1:],stdout=b.fileno())\np.wait()\n",
    );
    const lines = withStdout(`python3 ${holder} PROGRAM`, `${FILL} log(nonBlocking(flags()));`);
    expect(lines.slice(-3)).toEqual(["-11", "false", "end"]);
  });

  test("stdio chardev: returns EAGAIN on a terminal that is not read, and does not set O_NONBLOCK on it", () => {
    const holder = join(directory, "with-pty.py");
    writeFileSync(
      holder,
      "import pty,subprocess,sys\na,b=pty.openpty()\n" +
        "p=subprocess.Popen(sys.argv[1:],stdout=b)\np.wait()\n",
    );
    const lines = withStdout(`python3 ${holder} PROGRAM`, `${FILL} log(nonBlocking(flags()));`);
    expect(lines).toEqual(["-11", "false", "end"]);
  });

  test("stdio chardev: returns an errno if standard output is closed", () => {
    const [first, last] = withStdout("PROGRAM >&-", "log(write(10) === 10 || write(10) < 0);");
    expect([first, last]).toEqual(["true", "end"]);
  });

  test("stdio chardev: leaves standard output open on disposal", () => {
    const lines = withStdout(
      "PROGRAM | cat >/dev/null",
      "output[Symbol.dispose](); log(flags().length > 0);",
    );
    expect(lines).toEqual(["true", "end"]);
  });
});
