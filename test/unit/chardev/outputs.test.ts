import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileChardev } from "../../../src/chardev/file.ts";
import { nullChardev } from "../../../src/chardev/null.ts";
import { SyscallError } from "../../../src/sys/errors.ts";
import { type PinnedBuffer, pinnedBuffer } from "../../../src/sys/pinned-buffer.ts";
import { openSystem } from "../../../src/sys/system.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-sinks-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const system = openSystem();
const ROOT = join(import.meta.dir, "../../..");

function write(
  sink: { write(block: PinnedBuffer, start: number, end: number): number },
  text: string,
): number {
  const block = pinnedBuffer(new TextEncoder().encode(text));
  return sink.write(block, 0, block.bytes.length);
}

describe("a file", () => {
  test("is made, and takes everything at once", () => {
    const path = join(directory, "made");
    {
      using sink = fileChardev(system, "f", path, false);
      expect(sink.name).toBe(path);
      expect(write(sink, "first ")).toBe(6);
      expect(write(sink, "second")).toBe(6);
    }
    expect(readFileSync(path, "utf8")).toBe("first second");
  });

  test("is emptied when it is there already, its mode kept", () => {
    const path = join(directory, "old");
    writeFileSync(path, "old text", { mode: 0o640 });
    using sink = fileChardev(system, "f", path, false);
    write(sink, "new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  test("that cannot be made is a SyscallError with the user's path", () => {
    expect(() => fileChardev(system, "f", join(directory, "no/such"), false)).toThrow(
      new SyscallError("open", 2, join(directory, "no/such")),
    );
  });

  test("that is a FIFO without a reader is ENXIO, at once", () => {
    const path = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", path]);
    expect(() => fileChardev(system, "f", path, false)).toThrow(new SyscallError("open", 6, path));
  });

  test("on a full disk gives the errno", () => {
    using sink = fileChardev(system, "f", "/dev/full", false);
    expect(write(sink, "x")).toBe(-28);
  });

  test("is closed with its scope", () => {
    let fd = -1;
    {
      using sink = fileChardev(system, "f", join(directory, "scoped"), false);
      fd = sink.fd;
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toContain("flags:");
    }
    const closed = openSystem();
    expect(closed.libc.close(fd)).toBe(-1);
  });
});

test("null takes everything and has nothing to poll", () => {
  using sink = nullChardev("n");
  expect([write(sink, "anything"), sink.fd, sink.name]).toEqual([8, -1, "null"]);
});

/**
 * Writes to standard output as a sink, in a process of its own whose standard output is what `shell` makes of it.
 * The process tells on standard error what came of each write; "end" shows that it came to its end.
 */
function stdio(shell: string, body: string): string[] {
  const script = `
    import { stdioChardev } from "./src/chardev/stdio.ts";
    import { pinnedBuffer } from "./src/sys/pinned-buffer.ts";
    import { openSystem } from "./src/sys/system.ts";
    import { fstatSync, readFileSync } from "node:fs";
    const system = openSystem();
    const say = (...words) => console.error(words.join(" "));
    const flags = () => /flags:\\s+(\\d+)/.exec(readFileSync("/proc/self/fdinfo/1", "utf8"))[1];
    const nonBlocking = (text) => (Number.parseInt(text, 8) & 0o4000) !== 0;
    const block = new Uint8Array(65536).fill(120);
    const held = pinnedBuffer(block);
    const put = (length) => sink.write(held, 0, length);
    const sink = stdioChardev(system, "s");
    ${body}
    say("end");
  `;
  const path = join(directory, "script.ts");
  writeFileSync(path, script.replaceAll('"./src', `"${ROOT}/src`));
  const command = shell.replace("PROGRAM", `${process.execPath} ${path}`);
  const { stderr } = Bun.spawnSync(["bash", "-c", command], { cwd: directory, timeout: 5000 });
  return stderr.toString().trimEnd().split("\n");
}

/** Fills the receiver until it takes no more, a hundred blocks at most; tells the last result. */
const FILL = "let got; for (let i = 0; i < 100 && (got = put(block.length)) > 0; i++); say(got);";

describe("standard output", () => {
  test("a pipe that nobody reads never makes wait, and is left as blocking as it was", () => {
    const lines = stdio("PROGRAM | (exec 0<&0; sleep 0.7)", `${FILL} say(nonBlocking(flags()));`);
    expect(lines).toEqual(["-11", "false", "end"]);
  });

  test("a pipe whose reader is gone is EPIPE", () => {
    expect(stdio("PROGRAM | true", "Bun.sleepSync(200); say(put(10));")).toEqual(["-32", "end"]);
  });

  test("a file takes everything", () => {
    const lines = stdio("PROGRAM > out", `${FILL} say(sink.fd, fstatSync(1).size);`);
    expect(lines).toEqual(["65536", "1 6553600", "end"]);
  });

  test("a socket never makes wait either", () => {
    const holder = join(directory, "with-socket.py");
    writeFileSync(
      holder,
      "import socket,subprocess,sys\na,b=socket.socketpair()\n" +
        "p=subprocess.Popen(sys.argv[1:],stdout=b.fileno())\np.wait()\n",
    );
    expect(stdio(`python3 ${holder} PROGRAM`, `${FILL} say(nonBlocking(flags()));`).slice(-3)).toEqual([
      "-11",
      "false",
      "end",
    ]);
  });

  test("a terminal never makes wait either, and stays as it was for others", () => {
    const holder = join(directory, "with-pty.py");
    writeFileSync(
      holder,
      "import pty,subprocess,sys\na,b=pty.openpty()\n" +
        "p=subprocess.Popen(sys.argv[1:],stdout=b)\np.wait()\n",
    );
    expect(stdio(`python3 ${holder} PROGRAM`, `${FILL} say(nonBlocking(flags()));`)).toEqual([
      "-11",
      "false",
      "end",
    ]);
  });

  test("that is closed is an errno, not a crash", () => {
    const [first, last] = stdio("PROGRAM >&-", "say(put(10) === 10 || put(10) < 0);");
    expect([first, last]).toEqual(["true", "end"]);
  });

  test("stays open after the sink", () => {
    expect(stdio("PROGRAM | cat >/dev/null", "sink[Symbol.dispose](); say(flags().length > 0);")).toEqual([
      "true",
      "end",
    ]);
  });
});
