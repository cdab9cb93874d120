import { describe, expect, test } from "bun:test";
import type { ByteOutput } from "../../../src/chardev/byte-output.ts";
import { SerialConsole } from "../../../src/devices/serial/serial.ts";
import type { PinnedBuffer } from "../../../src/sys/pinned-buffer.ts";
import { nowMs, type Waiter } from "../../../src/sys/poll.ts";
import { fakeLibc } from "../sys/fake-libc.ts";
import { FakeVsock } from "./fake-vsock.ts";

/** A receiver that takes what `room` says, one write after another; then everything. */
class FakeSink implements ByteOutput {
  readonly name = "the receiver";
  readonly fd = 7;
  text = "";
  readonly room: number[] = [];

  writeTimeoutMs = Number.POSITIVE_INFINITY;

  write(block: PinnedBuffer, start: number, end: number): number {
    const room = this.room.shift() ?? end - start;
    if (room < 0) return room;
    const taken = Math.min(room, end - start);
    this.text += new TextDecoder().decode(block.bytes.subarray(start, start + taken));
    return taken;
  }

  [Symbol.dispose](): void {}
}

const bytes = (text: string) => [...new TextEncoder().encode(text)];

function connected(...connects: number[]) {
  const vsock = new FakeVsock();
  vsock.connects.push(...connects);
  const told: string[] = [];
  const sink = new FakeSink();
  const console = new SerialConsole({ system: vsock.system, report: (line) => told.push(line), sink }, 16);
  const says = (...what: (number[] | number)[]) => {
    vsock.readable.set(console.fd, what);
    console.ready();
  };
  return { vsock, told, sink, console, says };
}

const POLLIN = 1;
const POLLOUT = 4;

describe("the connection", () => {
  test("is begun at once, and waited for as writable", () => {
    const { console, vsock } = connected();
    expect([console.fd, console.events, console.deadlineMs]).toEqual([
      100,
      POLLOUT,
      Number.POSITIVE_INFINITY,
    ]);
    console.ready();
    expect([console.events, vsock.calls]).toEqual([POLLIN, ["socket", "connect"]]);
  });

  test("that is refused is tried again, each wait twice the one before", () => {
    const { console, vsock } = connected(-111, -111, -111, 0);
    const waits: number[] = [];
    while (console.fd === -1) {
      waits.push(Math.round(console.deadlineMs - nowMs()));
      console.expired();
    }
    expect(waits).toEqual([5, 10, 20]);
    expect([console.fd, vsock.closed(100), vsock.closed(102)]).toEqual([103, true, true]);
  });

  test("that is refused when it was under way is tried again, too", () => {
    const { console, vsock } = connected();
    vsock.socketErrors.push(104);
    console.ready();
    expect([console.fd, vsock.closed(100), console.done]).toEqual([-1, true, false]);
  });

  test("that never comes is over with the enclave", () => {
    const { console } = connected(-111);
    console.enclaveEnded();
    expect(console.done).toBe(true);
  });

  test("has its end after the enclave's: a second of silence", () => {
    const { console } = connected(0);
    console.enclaveEnded();
    expect(console.deadlineMs - nowMs()).toBeGreaterThan(900);
    expect(console.deadlineMs - nowMs()).toBeLessThanOrEqual(1000);
    console.expired();
    expect(console.done).toBe(true);
  });
});

describe("what the enclave writes", () => {
  test("comes to the receiver, whole and in order", () => {
    const { says, sink, console } = connected(0);
    says(bytes("first "), bytes("second "), bytes("third"));
    expect([sink.text, console.tail()]).toEqual(["first second third", "first second third"]);
  });

  test("waits, and nothing more is read, while the receiver takes nothing", () => {
    const { says, sink, console, vsock } = connected(0);
    const socket = console.fd;
    sink.room.push(3, -11);
    says(bytes("abcdef"), bytes("ghi"));
    expect([sink.text, console.fd, console.events, console.deadlineMs]).toEqual([
      "abc",
      7,
      POLLOUT,
      Number.POSITIVE_INFINITY,
    ]);
    expect(vsock.readable.get(socket)?.length).toBe(1);
    console.ready();
    expect([sink.text, console.fd]).toEqual(["abcdefghi", socket]);
  });

  test("is not kept for a client that takes nothing, once its patience is over; it gets what comes later", () => {
    const { says, sink, console, told } = connected(0);
    sink.writeTimeoutMs = 0;
    sink.room.push(-11, -11, -11);
    says(bytes("missed"));
    console.expired();
    says(bytes("missed, too"));
    says(bytes("taken"));
    expect([sink.text, told.length]).toEqual(["taken", 1]);
  });

  test("is still delivered when the enclave has ended and the socket is at its end", () => {
    const { says, sink, console } = connected(0);
    sink.room.push(2, -11);
    says(bytes("last words"));
    console.enclaveEnded();
    expect([console.done, sink.text]).toEqual([false, "la"]);
    console.ready();
    says([]);
    expect([console.done, sink.text]).toEqual([true, "last words"]);
  });

  describe("and is over, while the receiver takes nothing:", () => {
    /** The enclave is over and "la" of its last words has been taken; `rest` is what the hypervisor still has. */
    function over(...rest: (number[] | number)[]) {
      const all = connected(0);
      const socket = all.console.fd;
      all.sink.room.push(2, ...Array.from({ length: 50 }, () => -11));
      all.says(bytes("last"), ...rest);
      all.console.enclaveEnded();
      const waiters: Waiter[] = [];
      all.console.addWaiters(waiters);
      const kept = waiters[1];
      if (kept === undefined) throw new Error("nobody reads on");
      return { ...all, socket, kept };
    }

    test("the rest is kept, so that the enclave can go, and delivered", () => {
      const { console, kept, sink, socket } = over(bytes(" words"), bytes("!"), []);
      expect([console.fd, kept.fd, console.exhausted]).toEqual([7, socket, false]);
      kept.ready(POLLIN);
      expect([console.exhausted, console.done, kept.fd, kept.deadlineMs, sink.text]).toEqual([
        true,
        false,
        -1,
        Number.POSITIVE_INFINITY,
        "la",
      ]);
      sink.room.length = 0;
      console.ready();
      expect([console.done, sink.text, console.tail()]).toEqual([true, "last words!", "last words!"]);
    });

    test("what is silent for a second has no more", () => {
      const { console, kept } = over(-11);
      kept.ready(POLLIN);
      expect([console.exhausted, kept.deadlineMs - nowMs() <= 1000]).toEqual([false, true]);
      kept.expired();
      expect([console.exhausted, console.done]).toEqual([true, false]);
    });

    test("no more than some megabytes are kept; all of them and what comes after are delivered in order", () => {
      const block = Array.from({ length: 250_000 }, (_, i) => 0x61 + (i % 26));
      const { console, kept, sink, vsock, socket } = over(...Array.from({ length: 100 }, () => block));
      for (let i = 0; i < 100 && kept.fd !== -1; i++) kept.ready(POLLIN);
      const left = vsock.readable.get(socket)?.length ?? 0;
      expect([console.exhausted, left > 20, left < 50]).toEqual([false, true, true]);
      // It takes a part, and more is read behind it when half of what is kept has gone.
      sink.room.splice(0, sink.room.length, 9_000_000, -11);
      console.ready();
      kept.ready(POLLIN);
      expect(vsock.readable.get(socket)?.length ?? 0).toBeLessThan(left);
      vsock.readable.get(socket)?.push([]);
      for (let i = 0; i < 100 && !console.done; i++) console.ready();
      expect(sink.text.length).toBe(4 + 100 * block.length);
      const sum = (text: string) => Bun.hash(text);
      const text = new TextDecoder().decode(new Uint8Array(block));
      expect(sum(sink.text)).toBe(sum(`last${text.repeat(100)}`));
    });

    test("a receiver that is lost is not told to be an enclave that lives", () => {
      const { console, sink, told } = over([]);
      sink.room.splice(0, sink.room.length, -32);
      console.ready();
      expect(told).toEqual(["console: the receiver: Broken pipe (EPIPE); the rest of its console is lost"]);
    });
  });

  test("is read on, for the verdict, when the receiver is lost; that is told once", () => {
    const { says, sink, console, told } = connected(0);
    sink.room.push(-32);
    says(bytes("one "), bytes("two "), bytes("three"));
    expect(console.tail()).toBe("one two three");
    expect(told).toEqual([
      "console: the receiver: Broken pipe (EPIPE); the enclave lives on, its console is no longer kept",
    ]);
  });

  test("a flood does not keep the loop from others: so many turns at a time", () => {
    const { says, sink } = connected(0);
    says(...Array.from({ length: 100 }, () => bytes("x")));
    expect(sink.text.length).toBe(8);
  });

  test("its last 8 KiB are kept, however it came", () => {
    const { vsock, console } = connected(0);
    let all = "";
    for (let i = 0; i < 40; i++) {
      const piece = `${i}:${"y".repeat((i * 997) % 3000)}`;
      all += piece;
      vsock.readable.set(console.fd, [bytes(piece)]);
      console.ready();
    }
    expect(console.tail()).toBe(all.slice(-8192));
  });

  test("more than the tail in one piece leaves its end", () => {
    const { says, console } = connected(0);
    says(bytes("a".repeat(5000)), bytes(`${"b".repeat(20_000)}END`));
    expect(console.tail()).toBe(`${"b".repeat(8189)}END`);
  });

  test("that breaks off while the enclave lives is told", () => {
    const { says, told, console } = connected(0);
    says(-104);
    expect(told).toEqual(["console: lost (Connection reset by peer (ECONNRESET)); the enclave lives on"]);
    expect(console.done).toBe(true);
  });

  test("what can be handed over without waiting is handed over at a stop", () => {
    const { vsock, sink, console } = connected(0);
    vsock.readable.set(console.fd, [bytes("kept")]);
    console.flush();
    expect(sink.text).toBe("kept");
  });
});

test("a kernel without vsock is told, and the enclave lives on", () => {
  const system = fakeLibc({ socket: () => -1, errno: () => 97 });
  const told: string[] = [];
  const console = new SerialConsole({ system, report: (line) => told.push(line), sink: new FakeSink() }, 16);
  expect(console.done).toBe(true);
  expect(told[0]).toStartWith("console: cannot be had (socket AF_VSOCK: Address family not supported");
});
