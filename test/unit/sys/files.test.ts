import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SyscallError } from "../../../src/sys/errors.ts";
import {
  Fd,
  fileSize,
  isSeekable,
  messageWriter,
  openFile,
  pathExists,
  readBytesAt,
  readSmallFile,
  readSome,
  removeFile,
  writeAll,
} from "../../../src/sys/files.ts";
import { O_CREAT, O_RDONLY, O_WRONLY } from "../../../src/sys/linux/fcntl.ts";
import { OutputLoss } from "../../../src/sys/output-loss.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-files-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, "file");
writeFileSync(path, "0123456789");
const system = openSystem();

function errnoOf(run: () => unknown): number {
  try {
    run();
  } catch (error) {
    if (error instanceof SyscallError) return error.errno;
    throw error;
  }
  return 0;
}

describe("a read at an offset", () => {
  test("readBytesAt: goes on after a signal has interrupted it, as on FUSE", () => {
    let calls = 0;
    const interrupted = fakeLibc({
      pread: (fd, address, length, offset) => {
        calls += 1;
        if (calls !== 2) return -1;
        return Number(system.libc.pread(Number(fd), Number(address), Number(length), Number(offset)));
      },
      errno: () => (calls === 1 ? 4 : 5),
    });
    using fd = openFile(system, path, O_RDONLY);
    const into = new Uint8Array(10);
    expect(readBytesAt(interrupted, { fd, path }, into, 0)).toBe(10);
    expect(new TextDecoder().decode(into)).toBe("0123456789");
    expect(errnoOf(() => readBytesAt(interrupted, { fd, path }, into, 0))).toBe(5);
  });
});

describe("Fd", () => {
  test("Fd: close is called once, also when disposed after close", () => {
    const closed: number[] = [];
    const fake = fakeLibc({
      close: (fd) => {
        closed.push(Number(fd));
        return 0;
      },
    });
    {
      using fd = new Fd(fake, 77);
      fd.close();
    }
    expect(closed).toEqual([77]);
  });

  test("Fd: openFile sets O_CLOEXEC", () => {
    using fd = openFile(system, path, O_RDONLY);
    const flags = readFileSync(`/proc/self/fdinfo/${fd.number}`, "utf8");
    expect(flags).toMatch(/flags:\s+02\d{6}/);
  });
});

describe("open", () => {
  test.each([
    ["ENOENT", join(directory, "missing"), O_RDONLY, 2],
    ["EISDIR", directory, O_WRONLY, 21],
    ["ENOTDIR", join(path, "below"), O_RDONLY, 20],
    ["ENAMETOOLONG", join(directory, "x".repeat(300)), O_RDONLY, 36],
  ])("openFile: %s", (_name, name, flags, errno) => {
    expect(errnoOf(() => openFile(system, name, flags))).toBe(errno);
  });

  test("openFile: accepts a name in UTF-8", () => {
    const name = join(directory, "образ-🚀");
    openFile(system, name, O_WRONLY | O_CREAT, 0o600).close();
    expect(readFileSync(name).length).toBe(0);
  });

  test("openFile: the trace shows the names of the flags", () => {
    const lines: string[] = [];
    const traced = {
      ...system,
      trace: { call: (name: string, args: string) => lines.push(`${name}(${args})`) },
    };
    openFile(traced, path, O_WRONLY).close();
    expect(lines[0]).toBe(`open(${JSON.stringify(path)}, O_WRONLY|O_CLOEXEC)`);
  });
});

describe("reading", () => {
  test("fileSize: returns the size, and ESPIPE for a pipe", () => {
    using fd = openFile(system, path, O_RDONLY);
    expect(fileSize(system, fd, path)).toBe(10);
    const pipe = Bun.spawnSync(["sh", "-c", `mkfifo ${join(directory, "fifo")}`]);
    expect(pipe.exitCode).toBe(0);
    using fifo = openFile(system, join(directory, "fifo"), 0o4000);
    expect(errnoOf(() => fileSize(system, fifo, "fifo"))).toBe(29);
    expect(isSeekable(system, fifo.number)).toBe(false);
    expect(isSeekable(system, fd.number)).toBe(true);
  });

  test("readBytesAt: reads from an offset, fewer bytes at the end", () => {
    using fd = openFile(system, path, O_RDONLY);
    const into = new Uint8Array(6);
    expect(readBytesAt(system, { fd, path }, into, 2)).toBe(6);
    expect(new TextDecoder().decode(into)).toBe("234567");
    expect(readBytesAt(system, { fd, path }, into, 8)).toBe(2);
    expect(readBytesAt(system, { fd, path }, into, 10)).toBe(0);
  });

  test("readBytesAt: continues after a short read", () => {
    const requested: number[][] = [];
    const short = fakeLibc({
      pread: (_fd, _address, length, offset) => {
        requested.push([Number(length), Number(offset)]);
        return Math.min(4, Number(length));
      },
    });
    expect(readBytesAt(short, { fd: new Fd(short, 99), path: "x" }, new Uint8Array(10), 100)).toBe(10);
    expect(requested).toEqual([
      [10, 100],
      [6, 104],
      [2, 108],
    ]);
  });

  test("readSome: returns a negative errno on failure", () => {
    expect(readSome(system, -1, new Uint8Array(1))).toBe(-9);
  });

  test("readSmallFile: returns the text, and undefined for a missing file", () => {
    expect(readSmallFile(system, path)).toBe("0123456789");
    expect(readSmallFile(system, join(directory, "missing"))).toBeUndefined();
    expect(readSmallFile(system, directory)).toBeUndefined();
    expect([path, directory, join(directory, "missing")].map((each) => pathExists(system, each))).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe("writeAll", () => {
  /** A kernel whose write returns these results in turn: bytes written, or a negative errno. */
  function writing(...answers: number[]) {
    let errno = 0;
    const lengths: number[] = [];
    let polls = 0;
    const fake = fakeLibc({
      write: (_fd, _address, length) => {
        lengths.push(Number(length));
        const answer = answers.shift() ?? Number(length);
        errno = answer < 0 ? -answer : 0;
        return answer < 0 ? -1 : answer;
      },
      poll: () => {
        polls++;
        return 1;
      },
      errno: () => errno,
    });
    return { fake, lengths, polls: () => polls };
  }

  test("writeAll: continues after a short write and after EINTR", () => {
    const { fake, lengths } = writing(3, -4);
    writeAll(fake, 2, "0123456789");
    expect(lengths).toEqual([10, 7, 7]);
  });

  test("writeAll: waits for space after EAGAIN", () => {
    const { fake, lengths, polls } = writing(-11, -11);
    writeAll(fake, 2, "abc");
    expect(lengths).toEqual([3, 3, 3]);
    expect(polls()).toBe(3);
  });

  test("writeAll: returns EPIPE if the reader has closed the pipe", () => {
    const { fake, lengths } = writing(-32);
    expect(writeAll(fake, 2, "abc")).toBe(-32);
    expect(lengths).toEqual([3]);
  });

  test("writeAll: writes at most PIPE_BUF bytes at once", () => {
    const { fake, lengths } = writing();
    expect(writeAll(fake, 2, "x".repeat(10_000))).toBe(0);
    expect(lengths).toEqual([4096, 4096, 1808]);
  });

  test("messageWriter: waits for a blocked reader once, then drops messages until it reads again", () => {
    const waits: number[] = [];
    const written: number[] = [];
    let readable = false;
    const fake = fakeLibc({
      write: (_fd, _at, length) => {
        written.push(Number(length));
        return Number(length);
      },
      poll: (_table, _count, timeout) => {
        waits.push(Number(timeout));
        return readable ? 1 : 0;
      },
    });
    const write = messageWriter(fake, 2);
    write("dropped");
    write("dropped, too");
    expect([waits[0], waits[1], waits.length, written]).toEqual([1000, 0, 2, []]);
    readable = true;
    write("shown");
    readable = false;
    write("dropped again");
    expect([waits.at(-1), written]).toEqual([1000, [5]]);
  });

  test("messageWriter counts what a full disk does not take, and tries again with each message", () => {
    const reported: string[] = [];
    const { fake, lengths } = writing(4, -28, -28);
    const write = messageWriter(
      fake,
      2,
      new OutputLoss(
        () => "the trace",
        (line) => reported.push(line),
      ),
    );
    write("0123456789");
    write("abc");
    write("def");
    write("ghi");
    expect(lengths).toEqual([10, 6, 3, 3, 3]);
    expect(reported).toEqual([
      "the trace failed: No space left on device (ENOSPC); dropping output until it works again",
      "the trace works again; 9 bytes are missing",
    ]);
  });
});

test("removeFile: ignores a missing file", () => {
  removeFile(system, join(directory, "missing"));
  const name = join(directory, "removed");
  writeFileSync(name, "");
  removeFile(system, name);
  expect(readSmallFile(system, name)).toBeUndefined();
});
