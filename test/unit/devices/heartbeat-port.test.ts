/** The port and its log among launchers of one process, whose unix sockets are real and whose vsock is not. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { Heartbeat } from "../../../src/devices/heartbeat/heartbeat.ts";
import { HeartbeatLog, makeLog } from "../../../src/devices/heartbeat/log.ts";
import { HeartbeatPort, takeHeartbeatPort, type Waits } from "../../../src/devices/heartbeat/port.ts";
import { Fd } from "../../../src/sys/files.ts";
import { isReadable, type Waiter } from "../../../src/sys/poll.ts";
import { openSystem } from "../../../src/sys/system.ts";
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
    expect(size).toBe(2 * 16);
  });

  test("tells of launches whose enclave may run, and has no CID yet; one that fails does not stay so", () => {
    const [one, two, three] = logs(3);
    one?.starting();
    one?.look();
    expect(one?.awaitsCid).toBe(false); // its own does not count
    two?.starting();
    three?.starting();
    one?.look();
    expect([one?.awaitsCid, one?.isKnown(17)]).toEqual([true, false]);
    two?.started(17);
    three?.[Symbol.dispose]();
    one?.look();
    expect([one?.awaitsCid, one?.isKnown(17)]).toEqual([false, true]);
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

  test("is asked for again where the one who held it has gone after a long wait at his door", () => {
    const vsock = new FakeVsock();
    vsock.binds.push(EADDRINUSE);
    vsock.connects.push(0); // the door's holder is root, as the fake tells
    const late = Bun.nanoseconds() + 100e9;
    let clock: { mockRestore(): void } | undefined;
    const readable = () => {
      clock = spyOn(Bun, "nanoseconds").mockReturnValue(late);
      return true;
    };
    try {
      using port = takeHeartbeatPort(vsock.system, () => {}, { pause: () => {}, readable });
      expect(vsock.closed(port.listener.number)).toBe(false);
    } finally {
      clock?.mockRestore();
    }
    expect(clock).toBeDefined();
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

/** An enclave's heartbeat (CID 16) on a listener with descriptor 50, in a launcher that shares the port with others. */
function shared(log: HeartbeatLog | undefined, timeoutMs = 180_000) {
  const vsock = new FakeVsock();
  const told: string[] = [];
  const listener = new Fd(vsock.system, 50);
  const port = new HeartbeatPort(vsock.system, listener, undefined, log);
  const setup = {
    system: vsock.system,
    report: (line: string) => told.push(line),
    port,
    timeoutMs,
    required: true,
  };
  const heartbeat = stack.use(new Heartbeat(setup, 16, () => told.push("missed")));
  const waiters = () => {
    const list: Waiter[] = [];
    heartbeat.addWaiters(list);
    return list;
  };
  /** Somebody connects; what he says may come later. */
  const connects = (cid: number) => {
    vsock.incoming.push(cid);
    waiters()[0]?.ready(1);
    return waiters().at(-1);
  };
  return { vsock, told, heartbeat, waiters, connects };
}

describe("launchers that share the port", () => {
  const beat = () => [[0xb7]];

  test("hear of a heartbeat whose byte came after the one who answered it had had his own", () => {
    const [one, two] = logs(2);
    const { vsock, heartbeat, connects, waiters } = shared(one);
    const other = connects(17);
    const own = connects(16);
    vsock.readable.set(own?.fd ?? -1, beat());
    own?.ready(1);
    expect([heartbeat.arrived, vsock.closed(50)]).toEqual([true, true]);
    expect(waiters()).toEqual([other as Waiter]);
    vsock.readable.set(other?.fd ?? -1, beat());
    other?.ready(1);
    expect(vsock.sent.get(other?.fd ?? -1)).toBe(1);
    two?.look();
    expect(two?.hasBeaten(17)).toBe(true);
    expect(waiters()).toEqual([]);
  });

  test("do not tell of one another's as of a stranger's, though it comes before its launcher says who it is", () => {
    const [one, two] = logs(2);
    const { vsock, told, connects, waiters } = shared(one);
    two?.starting();
    const other = connects(17);
    vsock.readable.set(other?.fd ?? -1, beat());
    other?.ready(1);
    expect([vsock.sent.get(other?.fd ?? -1), told]).toEqual([1, []]);
    two?.started(17);
    waiters()[1]?.ready(1); // the log's
    const stranger = connects(77);
    vsock.readable.set(stranger?.fd ?? -1, beat());
    stranger?.ready(1);
    expect(told).toEqual([
      "heartbeat: answered one from CID 77, which is not this enclave (CID 16); not counted",
    ]);
  });

  test("that have slept beyond the time-out look whether another has answered", () => {
    const [one, two] = logs(2);
    const { told, heartbeat, waiters } = shared(one);
    two?.beat(16);
    waiters()[0]?.expired();
    expect([heartbeat.arrived, told]).toEqual([true, []]);
  });
});

describe("a listener that is readable without end", () => {
  test("does not put off the time-out", () => {
    const { told, connects } = shared(undefined, 0);
    connects(1);
    expect(told.join()).toContain("heartbeat: none came within 0 s; heartbeat=require stops the enclave");
    expect(told.at(-1)).toBe("missed");
  });
});

describe("who has connected before the start", () => {
  /** A launcher whose enclave gets CID 16; those of these CIDs are there before, and say so much. */
  const startsAfter = (
    log: HeartbeatLog | undefined,
    peers: [cid: number, ...says: (number[] | number)[]][],
  ) => {
    const vsock = new FakeVsock();
    const told: string[] = [];
    const port = new HeartbeatPort(vsock.system, new Fd(vsock.system, 50), undefined, log);
    peers.forEach(([cid, ...says], i) => {
      vsock.incoming.push(cid);
      vsock.readable.set(100 + i, says);
    });
    port.starting();
    const setup = { system: vsock.system, report: (line: string) => told.push(line), port, timeoutMs: 1e6 };
    const heartbeat = stack.use(new Heartbeat({ ...setup, required: false }, 16, () => {}));
    return { vsock, told, port, heartbeat };
  };

  test("is answered and does not count: an enclave that has ended may have had the CID", () => {
    const [one, two] = logs(2);
    const { vsock, heartbeat } = startsAfter(one, [[16, [0xb7]]]);
    expect([vsock.sent.get(100), vsock.closed(100), heartbeat.awaited]).toEqual([1, true, true]);
    two?.look();
    expect(two?.hasBeaten(16)).toBe(true); // for whoever had it
    expect(one?.hasBeaten(16)).toBe(false);
  });

  test("and speaks after it is heard, and does not count either", () => {
    const { vsock, heartbeat, told } = startsAfter(undefined, [[16], [77, [0xb7]]]);
    expect([vsock.closed(100), vsock.closed(101)]).toEqual([false, true]);
    expect(told).toHaveLength(1);
    expect(told[0]).toContain("answered one from CID 77");
    vsock.readable.set(100, [[0xb7]]);
    const waiters: Waiter[] = [];
    heartbeat.addWaiters(waiters);
    waiters.at(-1)?.ready(1);
    expect([vsock.sent.get(100), vsock.closed(100), heartbeat.awaited]).toEqual([1, true, true]);
  });

  test("goes with a launch that is not started", () => {
    const vsock = new FakeVsock();
    const port = new HeartbeatPort(vsock.system, new Fd(vsock.system, 50), undefined);
    vsock.incoming.push(77);
    port.starting();
    port.close();
    expect([vsock.closed(50), vsock.closed(100)]).toEqual([true, true]);
  });
});

describe("a launcher without a free descriptor", () => {
  test("gives up who has waited longest, and listens on", () => {
    const { vsock, heartbeat, connects, told } = shared(undefined);
    const silent = connects(77);
    connects(-24); // EMFILE
    expect([vsock.closed(silent?.fd ?? -1), heartbeat.awaited, told]).toEqual([true, true, []]);
  });

  test("and with nobody to give up, gives the port back", () => {
    const { heartbeat, connects } = shared(undefined);
    connects(-24);
    expect(heartbeat.awaited).toBe(false);
  });
});
