/** The port and its log among launchers of one process, whose unix sockets are real and whose vsock is not. */
import { afterEach, describe, expect, test } from "bun:test";
import { HeartbeatLog, makeLog } from "../../src/devices/heartbeat-log.ts";
import { takeHeartbeatPort, type Waits } from "../../src/devices/heartbeat-port.ts";
import { Fd } from "../../src/sys/files.ts";
import { isReadable } from "../../src/sys/poll.ts";
import { openSystem } from "../../src/sys/system.ts";
import { FakeVsock } from "./fake-vsock.ts";

const system = openSystem();
let stack = new DisposableStack();
afterEach(() => {
  stack.dispose();
  stack = new DisposableStack();
});

/** Launchers that share a log. */
function logs(count: number): HeartbeatLog[] {
  const [file, announcement] = makeLog(system);
  stack.use(file);
  stack.use(announcement);
  const copy = (fd: Fd) => new Fd(system, system.libc.processCalls.fcntl(fd.number, F_DUPFD_CLOEXEC, 0));
  return Array.from({ length: count }, () =>
    stack.use(new HeartbeatLog(system, [copy(file), copy(announcement)])),
  );
}

const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h

describe("the log", () => {
  test("tells every launcher of a heartbeat that one has answered", () => {
    const [one, two, three] = logs(3);
    for (const log of [one, two, three]) log?.look();
    one?.beat(17);
    for (const log of [two, three]) {
      expect(isReadable(system, log?.fd ?? -1)).toBe(true);
      log?.look();
      expect(isReadable(system, log?.fd ?? -1)).toBe(false);
      expect([log?.hasBeaten(17), log?.hasBeaten(18)]).toEqual([true, false]);
    }
  });

  test("outlives whoever wrote it", () => {
    const [one, two] = logs(2);
    one?.beat(17);
    one?.[Symbol.dispose]();
    two?.look();
    expect(two?.hasBeaten(17)).toBe(true);
  });

  test("counts no heartbeat from before the start: its CID was another enclave's", () => {
    const [one, two] = logs(2);
    one?.beat(17);
    two?.starting();
    two?.look();
    expect(two?.hasBeaten(17)).toBe(false);
    one?.beat(17);
    two?.look();
    expect(two?.hasBeaten(17)).toBe(true);
  });

  test("has each enclave once, however often its heartbeat comes", () => {
    const [one, two] = logs(2);
    for (let i = 0; i < 1000; i++) one?.beat(17);
    two?.beat(17);
    two?.beat(18);
    const size = Number(system.libc.lseek(two?.fds[0].number ?? -1, 0, 2));
    expect(size).toBe(2 * 8);
  });

  test("is read to its end, however long", () => {
    const [one, two] = logs(2);
    for (let cid = 100; cid < 1700; cid++) one?.started(cid);
    two?.look();
    expect([99, 100, 1699, 1700].map((cid) => two?.isKnown(cid))).toEqual([false, true, true, false]);
  });
});

/** Nobody waits in these tests: what would be waited for is noted. */
function waits(pauses: number[]): Waits {
  return {
    pause: (ms) => {
      pauses.push(ms);
    },
    readable: () => false,
  };
}

describe("the port", () => {
  const EADDRINUSE = -98;

  test("is listened on at once where it is free, and has its door beside it", () => {
    const vsock = new FakeVsock();
    const pauses: number[] = [];
    using port = takeHeartbeatPort(vsock.system, () => {}, waits(pauses));
    expect([port.listener.number, port.log, pauses]).toEqual([100, undefined, []]);
    expect(vsock.calls).toEqual(["socket", "bind", "listen", "socket", "bind", "listen"]);
    port.close();
    expect(vsock.calls.slice(6)).toEqual(["close 101", "close 100"]); // the door first
  });

  test("does without a door where there is none to be had", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(0, -13);
    using port = takeHeartbeatPort(vsock.system, () => {}, waits([]));
    expect([port.listener.number, vsock.closed(101)]).toEqual([100, true]);
  });

  test("has another door where somebody has taken the name", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(0, EADDRINUSE, 0);
    using port = takeHeartbeatPort(vsock.system, () => {}, waits([]));
    expect([port.listener.number, vsock.closed(101), vsock.closed(102)]).toEqual([100, true, false]);
  });

  test("that a stranger holds is waited for, more and more patiently, which is told once", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(...Array(10).fill(EADDRINUSE));
    const told: string[] = [];
    const pauses: number[] = [];
    using _port = takeHeartbeatPort(vsock.system, (line) => told.push(line), waits(pauses));
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
    expect(told).toEqual(["vsock port 9000 is held by another launcher; waiting up to 30 s"]);
  });

  test("that a stranger holds is not told where it is given back soon: two launches may have begun together", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(...Array(7).fill(EADDRINUSE));
    const told: string[] = [];
    using _port = takeHeartbeatPort(vsock.system, (line) => told.push(line), waits([]));
    expect(told).toEqual([]);
  });

  test("is waited for until a signal comes", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(EADDRINUSE);
    const pause = () => {
      throw new Error("stopped");
    };
    const take = () => takeHeartbeatPort(vsock.system, () => {}, { pause, readable: () => false });
    expect(take).toThrow("stopped");
  });
});
