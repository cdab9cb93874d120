import { describe, expect, test } from "bun:test";
import type { ByteOutput } from "../../../src/chardev/byte-output.ts";
import { SerialConsole } from "../../../src/devices/serial/serial.ts";
import type { PinnedBuffer } from "../../../src/sys/pinned-buffer.ts";
import { nowMs, type Waiter } from "../../../src/sys/poll.ts";
import { fakeLibc } from "../sys/fake-libc.ts";
import { FakeVsock } from "./fake-vsock.ts";

/** A receiver that accepts what `room` says, write by write, and then everything. */
class FakeOutput implements ByteOutput {
  readonly name = "the receiver";
  readonly fd = 7;
  text = "";
  discarded = "";
  readonly room: number[] = [];

  writeTimeoutMs = Number.POSITIVE_INFINITY;

  write(block: PinnedBuffer, start: number, end: number): number {
    const room = this.room.shift() ?? end - start;
    if (room < 0) return room;
    const taken = Math.min(room, end - start);
    this.text += new TextDecoder().decode(block.bytes.subarray(start, start + taken));
    return taken;
  }

  discard(block: PinnedBuffer, start: number, end: number): void {
    this.discarded += new TextDecoder().decode(block.bytes.subarray(start, end));
  }

  [Symbol.dispose](): void {}
}

const failed = (text: string) =>
  `console output to the receiver failed: ${text}; dropping output until it works again`;
const worksAgain = (bytes: number) =>
  `console output to the receiver works again; ${bytes} bytes are missing`;
const ended = (bytes: number) => `console output to the receiver has ended; ${bytes} bytes are missing`;

const bytes = (text: string) => [...new TextEncoder().encode(text)];

function connected(...connects: number[]) {
  const vsock = new FakeVsock();
  vsock.connects.push(...connects);
  const reported: string[] = [];
  const output = new FakeOutput();
  const report = (line: string) => reported.push(line);
  const console = new SerialConsole({ system: vsock.system, report, output });
  console.enclaveStarted(16);
  const says = (...what: (number[] | number)[]) => {
    vsock.readable.set(console.fd, what);
    console.ready();
  };
  return { vsock, reported, output, console, says };
}

/** The last bytes of the console. */
const tail = (console: SerialConsole) => console.exitEvidence().consoleTail;

const POLLIN = 1;
const POLLOUT = 4;

describe("console connection", () => {
  test("console connection: is started at once, and polled for writing", () => {
    const { console, vsock } = connected();
    expect([console.fd, console.events, console.deadlineMs]).toEqual([
      100,
      POLLOUT,
      Number.POSITIVE_INFINITY,
    ]);
    console.ready();
    expect([console.events, vsock.calls]).toEqual([POLLIN, ["socket", "connect"]]);
  });

  test("console connection: is retried when it is refused, and each delay doubles", () => {
    const { console, vsock } = connected(-111, -111, -111, 0);
    const waits: number[] = [];
    while (console.fd === -1) {
      waits.push(Math.round(console.deadlineMs - nowMs()));
      console.expired();
    }
    expect(waits).toEqual([5, 10, 20]);
    expect([console.fd, vsock.closed(100), vsock.closed(102)]).toEqual([103, true, true]);
  });

  test("console connection: is retried when it is refused after it was under way", () => {
    const { console, vsock } = connected();
    vsock.socketErrors.push(104);
    console.ready();
    expect([console.fd, vsock.closed(100), console.isDelivering]).toEqual([-1, true, true]);
  });

  test("console connection: one that never succeeds ends with the enclave", () => {
    const { console } = connected(-111);
    console.enclaveExited();
    expect(console.isDelivering).toBe(false);
  });

  test("console connection: ends after the enclave has exited and a second of silence", () => {
    const { console } = connected(0);
    console.enclaveExited();
    expect(console.deadlineMs - nowMs()).toBeGreaterThan(900);
    expect(console.deadlineMs - nowMs()).toBeLessThanOrEqual(1000);
    console.expired();
    expect(console.isDelivering).toBe(false);
  });
});

describe("the console's output", () => {
  test("console output: reaches the receiver complete and in order", () => {
    const { says, output, console } = connected(0);
    says(bytes("first "), bytes("second "), bytes("third"));
    expect([output.text, tail(console)]).toEqual(["first second third", "first second third"]);
  });

  test("console output: is held, and nothing more is read, while the receiver does not accept it", () => {
    const { says, output, console, vsock } = connected(0);
    const socket = console.fd;
    output.room.push(3, -11);
    says(bytes("abcdef"), bytes("ghi"));
    expect([output.text, console.fd, console.events, console.deadlineMs]).toEqual([
      "abc",
      7,
      POLLOUT,
      Number.POSITIVE_INFINITY,
    ]);
    expect(vsock.readable.get(socket)?.length).toBe(1);
    console.ready();
    expect([output.text, console.fd]).toEqual(["abcdefghi", socket]);
  });

  test("console output: is dropped for a client that does not read in time; the client gets what comes later", () => {
    const { says, output, console, reported } = connected(0);
    output.writeTimeoutMs = 0;
    output.room.push(-11, -11, -11);
    says(bytes("missed"));
    console.expired();
    says(bytes("missed, too"));
    says(bytes("taken"));
    expect([output.text, reported.length]).toEqual(["taken", 1]);
  });

  test("console output: is delivered after the enclave has exited and the connection is closed", () => {
    const { says, output, console } = connected(0);
    output.room.push(2, -11);
    says(bytes("last lines"));
    console.enclaveExited();
    expect([console.isDelivering, output.text]).toEqual([true, "la"]);
    console.ready();
    says([]);
    expect([console.isDelivering, output.text]).toEqual([false, "last lines"]);
  });

  describe("of an exited enclave", () => {
    /** The enclave has exited and "la" of "last" is delivered; `rest` is what the hypervisor still has. */
    function over(...rest: (number[] | number)[]) {
      const all = connected(0);
      const socket = all.console.fd;
      all.output.room.push(2, ...Array.from({ length: 50 }, () => -11));
      all.says(bytes("last"), ...rest);
      all.console.enclaveExited();
      const waiters: Waiter[] = [];
      all.console.addWaiters(waiters);
      const kept = waiters[1];
      if (kept === undefined) throw new Error("no waiter drains the socket");
      return { ...all, socket, kept };
    }

    test("exited enclave's console: the rest is buffered, so that the enclave can be released, and delivered later", () => {
      const { console, kept, output, socket } = over(bytes(" lines"), bytes("!"), []);
      expect([console.fd, kept.fd, console.isReceiving]).toEqual([7, socket, true]);
      kept.ready(POLLIN);
      expect([console.isReceiving, console.isDelivering, kept.fd, kept.deadlineMs, output.text]).toEqual([
        false,
        true,
        -1,
        Number.POSITIVE_INFINITY,
        "la",
      ]);
      output.room.length = 0;
      console.ready();
      expect([console.isDelivering, output.text, tail(console)]).toEqual([
        false,
        "last lines!",
        "last lines!",
      ]);
    });

    test("exited enclave's console: a second of silence ends it", () => {
      const { console, kept } = over(-11);
      kept.ready(POLLIN);
      expect([console.isReceiving, kept.deadlineMs - nowMs() <= 1000]).toEqual([true, true]);
      kept.expired();
      expect([console.isReceiving, console.isDelivering]).toEqual([false, true]);
    });

    test("exited enclave's console: at most 16 MiB are buffered; they and what comes later are delivered in order", () => {
      const block = Array.from({ length: 250_000 }, (_, i) => 0x61 + (i % 26));
      const { console, kept, output, vsock, socket } = over(...Array.from({ length: 100 }, () => block));
      for (let i = 0; i < 100 && kept.fd !== -1; i++) kept.ready(POLLIN);
      const left = vsock.readable.get(socket)?.length ?? 0;
      expect([console.isReceiving, left > 20, left < 50]).toEqual([true, true, true]);
      // The receiver accepts a part; more is read when half of the buffer is free.
      output.room.splice(0, output.room.length, 9_000_000, -11);
      console.ready();
      kept.ready(POLLIN);
      expect(vsock.readable.get(socket)?.length ?? 0).toBeLessThan(left);
      vsock.readable.get(socket)?.push([]);
      for (let i = 0; i < 100 && console.isDelivering; i++) console.ready();
      expect(output.text.length).toBe(4 + 100 * block.length);
      const sum = (text: string) => Bun.hash(text);
      const text = new TextDecoder().decode(new Uint8Array(block));
      expect(sum(output.text)).toBe(sum(`last${text.repeat(100)}`));
    });

    test("exited enclave's console: a failed receiver is reported, and what is missing at the end", () => {
      const { console, output, reported } = over(bytes(" lines"), []);
      output.room.splice(0, output.room.length, -28, -28);
      console.ready();
      console.ready();
      expect([console.isDelivering, output.text, reported]).toEqual([
        false,
        "la",
        [failed("No space left on device (ENOSPC)"), ended(8)],
      ]);
    });
  });

  test.each([
    [28, "No space left on device (ENOSPC)"],
    [122, "Disk quota exceeded (EDQUOT)"],
    [27, "File too large (EFBIG)"],
    [5, "Input/output error (EIO)"],
    [116, "Stale file handle (ESTALE)"],
  ])(
    "console output: after errno %i is dropped until the receiver works again; each is reported once",
    (errno, text) => {
      const { says, output, console, reported } = connected(0);
      output.room.push(2, -errno, -errno, 1, -errno);
      says(bytes("one "), bytes("two "), bytes("three "));
      expect([output.text, reported]).toEqual(["ont", [failed(text)]]);
      says(bytes("four "), bytes("five"));
      expect([output.text, reported.slice(1)]).toEqual(["ontfour five", [worksAgain(2 + 4 + 5)]]);
      expect(tail(console)).toBe("one two three four five");
    },
  );

  test("console output: after EPIPE is still read, and what is missing at the end is reported", () => {
    const { says, output, console, reported } = connected(0);
    output.room.push(-32, -32, -32);
    says(bytes("one "), bytes("two "), bytes("three"));
    console.enclaveExited();
    says([]);
    expect(tail(console)).toBe("one two three");
    expect(reported).toEqual([
      "console output to the receiver failed: Broken pipe (EPIPE); dropping output until a process reads it again",
      ended(13),
    ]);
  });

  test("console output: what a receiver did not accept is recorded by its log file", () => {
    const { says, output } = connected(0);
    output.room.push(2, -28);
    says(bytes("one"));
    expect([output.text, output.discarded]).toEqual(["on", "e"]);
  });

  test("console output: what is missing is reported when the launcher is stopped", () => {
    const { says, output, console, reported } = connected(0);
    output.room.push(-28);
    says(bytes("one"));
    console.flush();
    console[Symbol.dispose]();
    expect(reported.slice(1)).toEqual([ended(3)]);
  });

  test("console output: a flood leaves the loop time for other descriptors: eight reads per turn", () => {
    const { says, output } = connected(0);
    says(...Array.from({ length: 100 }, () => bytes("x")));
    expect(output.text.length).toBe(8);
  });

  test("console output: the last 8 KiB are kept, whatever the chunks", () => {
    const { vsock, console } = connected(0);
    let all = "";
    for (let i = 0; i < 40; i++) {
      const piece = `${i}:${"y".repeat((i * 997) % 3000)}`;
      all += piece;
      vsock.readable.set(console.fd, [bytes(piece)]);
      console.ready();
    }
    expect(tail(console)).toBe(all.slice(-8192));
  });

  test("console output: the end of a chunk that is larger than the tail is kept", () => {
    const { says, console } = connected(0);
    says(bytes("a".repeat(5000)), bytes(`${"b".repeat(20_000)}END`));
    expect(tail(console)).toBe(`${"b".repeat(8189)}END`);
  });

  test("console output: a lost connection is reported while the enclave runs", () => {
    const { says, reported, console } = connected(0);
    says(-104);
    expect(reported).toEqual([
      "console: connection lost (Connection reset by peer (ECONNRESET)); the enclave keeps running",
    ]);
    expect(console.isDelivering).toBe(false);
  });

  test("console output: flush delivers what can be delivered without waiting", () => {
    const { vsock, output, console } = connected(0);
    vsock.readable.set(console.fd, [bytes("kept")]);
    console.flush();
    expect(output.text).toBe("kept");
  });
});

test("console: a kernel without vsock is reported, and the enclave keeps running", () => {
  const system = fakeLibc({ socket: () => -1, errno: () => 97 });
  const reported: string[] = [];
  const report = (line: string) => reported.push(line);
  const console = new SerialConsole({ system, report, output: new FakeOutput() });
  console.enclaveStarted(16);
  expect(console.isDelivering).toBe(false);
  expect(reported[0]).toStartWith("console: cannot connect (socket AF_VSOCK: Address family not supported");
});
