/** The port and the log, shared by launchers in one process with real unix sockets and a fake vsock. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import type { PortUse, Waits } from "../../../src/devices/heartbeat/handoff.ts";
import { Heartbeat } from "../../../src/devices/heartbeat/heartbeat.ts";
import { createLog, HeartbeatLog } from "../../../src/devices/heartbeat/log.ts";
import { claimHeartbeatPort, HeartbeatPort } from "../../../src/devices/heartbeat/port.ts";
import { Fd } from "../../../src/sys/files.ts";
import { isReadable, type Waiter } from "../../../src/sys/poll.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";
import { FakeVsock } from "./fake-vsock.ts";

const system = openSystem();
let stack = new DisposableStack();
afterEach(() => {
  stack.dispose();
  stack = new DisposableStack();
});

/** Launchers that share a log. */
function logs(count: number): HeartbeatLog[] {
  const [file, announcement] = createLog(system);
  stack.use(file);
  stack.use(announcement);
  const copy = (fd: Fd) => new Fd(system, system.libc.processCalls.fcntl(fd.number, F_DUPFD_CLOEXEC, 0));
  return Array.from({ length: count }, () =>
    stack.use(new HeartbeatLog(system, [copy(file), copy(announcement)])),
  );
}

const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h

describe("heartbeat log", () => {
  test("heartbeat log: shows every launcher a heartbeat that one of them has answered", () => {
    const [one, two, three] = logs(3);
    for (const log of [one, two, three]) log?.read();
    one?.heartbeat(17);
    for (const log of [two, three]) {
      expect(isReadable(system, log?.fd ?? -1)).toBe(true);
      log?.read();
      expect(isReadable(system, log?.fd ?? -1)).toBe(false);
      expect([log?.hasHeartbeat(17), log?.hasHeartbeat(18)]).toEqual([true, false]);
    }
  });

  test("heartbeat log: outlives the launcher that wrote an entry", () => {
    const [one, two] = logs(2);
    one?.heartbeat(17);
    one?.[Symbol.dispose]();
    two?.read();
    expect(two?.hasHeartbeat(17)).toBe(true);
  });

  test("heartbeat log: does not count a heartbeat from before the start, whose CID was another enclave's", () => {
    const [one, two] = logs(2);
    one?.heartbeat(17);
    two?.starting();
    two?.read();
    expect(two?.hasHeartbeat(17)).toBe(false);
    one?.heartbeat(17);
    two?.read();
    expect(two?.hasHeartbeat(17)).toBe(true);
  });

  test("heartbeat log: records each enclave once, however often its heartbeat comes", () => {
    const [one, two] = logs(2);
    for (let i = 0; i < 1000; i++) one?.heartbeat(17);
    two?.heartbeat(17);
    two?.heartbeat(18);
    const size = Number(system.libc.lseek(two?.fds[0].number ?? -1, 0, 2));
    expect(size).toBe(2 * 16);
  });

  test("heartbeat log: knows which launches are starting an enclave whose CID is unknown; a failed launch is not one of them", () => {
    const [one, two, three] = logs(3);
    one?.starting();
    one?.read();
    expect(one?.awaitsCid).toBe(false); // its own does not count
    two?.starting();
    three?.starting();
    one?.read();
    expect([one?.awaitsCid, one?.isKnown(17)]).toEqual([true, false]);
    two?.started(17);
    three?.[Symbol.dispose]();
    one?.read();
    expect([one?.awaitsCid, one?.isKnown(17)]).toEqual([false, true]);
  });

  test("heartbeat log: is read to its end, however long it is", () => {
    const [one, two] = logs(2);
    for (let cid = 100; cid < 1700; cid++) one?.started(cid);
    two?.read();
    expect([99, 100, 1699, 1700].map((cid) => two?.isKnown(cid))).toEqual([false, true, true, false]);
  });
});

describe("the heartbeat log, while the kernel is short of memory", () => {
  /** A log whose file fails so often, once `fail` is called. */
  const failing = (call: "write" | "pread", errno: number) => {
    const [one, two] = logs(2);
    if (one === undefined || two === undefined) throw new Error("no logs");
    let left = 0;
    const broken = fakeLibc({
      [call]: (...args: Parameters<typeof system.libc.write>) => {
        if (left === 0) return (system.libc[call] as (...args: unknown[]) => number)(...args);
        left -= 1;
        return -1;
      },
      errno: () => errno,
    });
    const log = stack.use(new HeartbeatLog(broken, one.fds));
    const fail = (times: number) => {
      left = times;
    };
    return { log, two, fail };
  };

  test.each([
    ["EINTR", 4],
    ["ENOMEM", 12],
  ])("heartbeat log: records a heartbeat whose entry cannot be written at first (%s)", (_name, errno) => {
    const { log, two, fail } = failing("write", errno);
    fail(1);
    log.heartbeat(17);
    two.read();
    expect(two.hasHeartbeat(17)).toBe(true);
  });

  test.each([
    ["EINTR", 4, 1],
    ["ENOMEM", 12, 1],
    ["EIO", 5, 1000],
  ])("heartbeat log: a failed read does not end the launch (%s)", (_name, errno, times) => {
    const { log, two, fail } = failing("pread", errno);
    two.heartbeat(17);
    fail(times);
    log.read();
    expect(log.hasHeartbeat(17)).toBe(times === 1);
    fail(0);
    log.read();
    expect(log.hasHeartbeat(17)).toBe(true);
  });
});

/** Records the pauses and does not wait. */
function waits(pauses: number[]): Waits {
  return {
    pause: (ms) => {
      pauses.push(ms);
    },
    waitReadable: () => false,
  };
}

const QEMU: PortUse = { holder: "qemu (pid 812)", leftMs: undefined, isEstimate: true };

/** Claims the port. @param uses who holds it, one per look; the last is repeated. */
function claim(
  system: System,
  report: (line: string) => void,
  waits: Waits,
  { waitMs, uses = [QEMU] }: { waitMs?: number; uses?: PortUse[] } = {},
): Promise<HeartbeatPort> {
  const left = [...uses];
  const findPortUse = () => Promise.resolve((left.length > 1 ? left.shift() : left[0]) ?? QEMU);
  return claimHeartbeatPort({ system, report, waits, waitMs, findPortUse });
}

/** Waits on a clock that only the pauses move. */
class FakeClock implements Disposable {
  #ms = 1_000_000;
  readonly #spy = spyOn(Bun, "nanoseconds").mockImplementation(() => this.#ms * 1e6);
  readonly #startMs = this.#ms;
  readonly waits: Waits = {
    pause: (ms) => {
      this.#ms += ms;
    },
    waitReadable: () => false,
  };

  get elapsedSeconds(): number {
    return Math.floor((this.#ms - this.#startMs) / 1000);
  }

  [Symbol.dispose](): void {
    this.#spy.mockRestore();
  }
}

describe("heartbeat port", () => {
  const EADDRINUSE = -98;

  test("heartbeat port: is bound at once if it is free, and a handoff socket is opened with it", async () => {
    const vsock = new FakeVsock();
    const pauses: number[] = [];
    using port = await claim(vsock.system, () => {}, waits(pauses));
    expect([port.listener.number, port.log, pauses]).toEqual([100, undefined, []]);
    expect(vsock.calls).toEqual(["socket", "bind", "listen", "socket", "bind", "listen"]);
    port.close();
    expect(vsock.calls.slice(6)).toEqual(["close 101", "close 100"]); // the handoff socket first
  });

  test("heartbeat port: is used without a handoff socket if none can be opened", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(0, -13);
    using port = await claim(vsock.system, () => {}, waits([]));
    expect([port.listener.number, vsock.closed(101)]).toEqual([100, true]);
  });

  test("heartbeat port: gets a handoff socket with another name if its name is in use", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(0, EADDRINUSE, 0);
    using port = await claim(vsock.system, () => {}, waits([]));
    expect([port.listener.number, vsock.closed(101), vsock.closed(102)]).toEqual([100, true, false]);
  });

  test("heartbeat port: is waited for with growing pauses while another program has it, which is reported once", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(...Array(10).fill(EADDRINUSE));
    const reported: string[] = [];
    const pauses: number[] = [];
    using _port = await claim(vsock.system, (line) => reported.push(line), waits(pauses));
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100, 100]);
    expect(reported).toEqual(["port 9000 is in use by qemu (pid 812); waiting for it, up to 30 s"]);
  });

  test("heartbeat port: one that is released soon is claimed without a report, because two launches may have started together", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(...Array(7).fill(EADDRINUSE));
    const reported: string[] = [];
    using _port = await claim(vsock.system, (line) => reported.push(line), waits([]));
    expect(reported).toEqual([]);
  });

  test("heartbeat port: is tried once more if its launcher has exited after a long wait for its reply", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(EADDRINUSE);
    vsock.connects.push(0); // the fake reports root as the peer
    const late = Bun.nanoseconds() + 100e9;
    let clock: { mockRestore(): void } | undefined;
    const waitReadable = () => {
      clock = spyOn(Bun, "nanoseconds").mockReturnValue(late);
      return true;
    };
    try {
      using port = await claim(vsock.system, () => {}, { pause: () => {}, waitReadable });
      expect(vsock.closed(port.listener.number)).toBe(false);
    } finally {
      clock?.mockRestore();
    }
    expect(clock).toBeDefined();
  });

  test("heartbeat port: is waited for until the launch is cancelled", async () => {
    const vsock = new FakeVsock();
    vsock.binds.push(EADDRINUSE);
    const pause = () => {
      throw new Error("stopped");
    };
    const take = () => claim(vsock.system, () => {}, { pause, waitReadable: () => false });
    await expect(take()).rejects.toThrow("stopped");
  });
});

describe("a port that cannot be shared", () => {
  const nitro = (pid: number, leftMs: number, isEstimate = false): PortUse => ({
    holder: `nitro (pid ${pid})`,
    leftMs,
    isEstimate,
  });
  const line = (holder: string, seconds: number) =>
    `port 9000 is in use by ${holder}; waiting for it, up to ${seconds} s`;

  /** Claims a port that is never released. Returns the lines and how long the launch waited. */
  const waitInVain = async (more: { waitMs?: number; uses?: PortUse[] }) => {
    const vsock = new FakeVsock();
    vsock.binds.push(...Array(20_000).fill(-98)); // EADDRINUSE
    using clock = new FakeClock();
    const reported: string[] = [];
    const claimed = claim(vsock.system, (text) => reported.push(text), clock.waits, more);
    await expect(claimed).rejects.toThrow("EADDRINUSE");
    return { reported, seconds: clock.elapsedSeconds };
  };

  test("port that cannot be shared: is waited for up to the time-out of the launch that holds it", async () => {
    const { reported, seconds } = await waitInVain({ uses: [nitro(812, 179_400), nitro(812, 0)] });
    expect(reported).toEqual([line("nitro (pid 812)", 180)]);
    expect([seconds >= 180, seconds <= 183]).toEqual([true, true]);
  });

  test("port that cannot be shared: is waited for 30 s if the holder's time-out is not known", async () => {
    const { reported, seconds } = await waitInVain({});
    expect([reported, seconds]).toEqual([[line("qemu (pid 812)", 30)], 30]);
  });

  test.each([5, 600])(
    "port that cannot be shared: is waited for as long as heartbeat-wait=%d says, whatever holds it",
    async (wait) => {
      for (const use of [QEMU, nitro(812, 180_000)]) {
        const { reported, seconds } = await waitInVain({ waitMs: wait * 1000, uses: [use] });
        expect([reported, seconds]).toEqual([[line(use.holder, wait)], wait]);
      }
    },
  );

  test("port that cannot be shared: is waited for again if another launch holds it by then, which is reported", async () => {
    const uses = [QEMU, nitro(900, 60_000), nitro(900, 0)];
    const { reported, seconds } = await waitInVain({ uses });
    expect(reported).toEqual([line("qemu (pid 812)", 30), line("nitro (pid 900)", 60)]);
    expect([seconds >= 90, seconds <= 95]).toEqual([true, true]);
  });

  test("port that cannot be shared: a launch does not wait without end if the holder's time is an estimate", async () => {
    const { reported, seconds } = await waitInVain({ uses: [nitro(812, 150_000, true)] });
    expect([reported, seconds]).toEqual([[line("nitro (pid 812)", 150)], 152]);
  });
});

/** An enclave's heartbeat (CID 16) on a listener with descriptor 50, in a launcher that shares the port with others. */
async function shared(log: HeartbeatLog | undefined, timeoutMs = 180_000) {
  const vsock = new FakeVsock();
  const reported: string[] = [];
  const listener = new Fd(vsock.system, 50);
  const port = new HeartbeatPort(vsock.system, listener, undefined, log);
  const setup = {
    system: vsock.system,
    report: (line: string) => reported.push(line),
    claimPort: () => Promise.resolve(port),
    timeoutMs,
    required: true,
  };
  const heartbeat = stack.use(new Heartbeat(setup));
  await heartbeat.realize();
  heartbeat.enclaveStarted(16);
  const waiters = () => {
    const list: Waiter[] = [];
    heartbeat.addWaiters(list);
    return list;
  };
  /** Connects a peer; what it sends may come later. */
  const connects = (cid: number) => {
    vsock.incoming.push(cid);
    waiters()[0]?.ready(1);
    return waiters().at(-1);
  };
  return { vsock, reported, heartbeat, waiters, connects };
}

describe("launchers that share the port", () => {
  const beat = () => [[0xb7]];

  test("shared port: a launcher sees a heartbeat that another one answered after it had received its own", async () => {
    const [one, two] = logs(2);
    const { vsock, heartbeat, connects, waiters } = await shared(one);
    const other = connects(17);
    const own = connects(16);
    vsock.readable.set(own?.fd ?? -1, beat());
    own?.ready(1);
    expect([heartbeat.hasArrived, vsock.closed(50)]).toEqual([true, true]);
    expect(waiters()).toEqual([other as Waiter]);
    vsock.readable.set(other?.fd ?? -1, beat());
    other?.ready(1);
    expect(vsock.sent.get(other?.fd ?? -1)).toBe(1);
    two?.read();
    expect(two?.hasHeartbeat(17)).toBe(true);
    expect(waiters()).toEqual([]);
  });

  test("shared port: launchers do not report each other's heartbeats, even those that come before the CID is recorded", async () => {
    const [one, two] = logs(2);
    const { vsock, reported, connects, waiters } = await shared(one);
    two?.starting();
    const other = connects(17);
    vsock.readable.set(other?.fd ?? -1, beat());
    other?.ready(1);
    expect([vsock.sent.get(other?.fd ?? -1), reported]).toEqual([1, []]);
    two?.started(17);
    waiters()[1]?.ready(1); // the log's
    const unrelated = connects(77);
    vsock.readable.set(unrelated?.fd ?? -1, beat());
    unrelated?.ready(1);
    expect(reported).toEqual(["heartbeat from CID 77 answered, but not counted: this enclave has CID 16"]);
  });

  test("shared port: a launcher that was suspended beyond the time-out first checks whether another one has answered", async () => {
    const [one, two] = logs(2);
    const { reported, heartbeat, waiters } = await shared(one);
    two?.heartbeat(16);
    waiters()[0]?.expired();
    expect([heartbeat.hasArrived, reported]).toEqual([true, []]);
  });
});

describe("a listener that stays readable", () => {
  test("readable listener: does not postpone the time-out", async () => {
    const { heartbeat, reported, connects } = await shared(undefined, 0);
    connects(1);
    expect(reported.join()).toContain("no heartbeat within 0 s; stopping the enclave (heartbeat=require)");
    expect(heartbeat.requiresStop).toBe(true);
  });
});

describe("a connection from before the start", () => {
  /** A launcher whose enclave gets CID 16; these peers connect before the start and send these bytes. */
  const startsAfter = async (
    log: HeartbeatLog | undefined,
    peers: [cid: number, ...says: (number[] | number)[]][],
  ) => {
    const vsock = new FakeVsock();
    const reported: string[] = [];
    const port = new HeartbeatPort(vsock.system, new Fd(vsock.system, 50), undefined, log);
    peers.forEach(([cid, ...says], i) => {
      vsock.incoming.push(cid);
      vsock.readable.set(100 + i, says);
    });
    const report = (line: string) => reported.push(line);
    const setup = {
      system: vsock.system,
      report,
      claimPort: () => Promise.resolve(port),
      timeoutMs: 1e6,
      required: false,
    };
    const heartbeat = stack.use(new Heartbeat(setup));
    await heartbeat.realize();
    heartbeat.enclaveStarting();
    heartbeat.enclaveStarted(16);
    return { vsock, reported, port, heartbeat };
  };

  test("early connection: is answered and does not count, because an exited enclave may have had the CID", async () => {
    const [one, two] = logs(2);
    const { vsock, heartbeat } = await startsAfter(one, [[16, [0xb7]]]);
    expect([vsock.sent.get(100), vsock.closed(100), heartbeat.isAwaited]).toEqual([1, true, true]);
    two?.read();
    expect(two?.hasHeartbeat(16)).toBe(true); // for the launcher whose enclave had it
    expect(one?.hasHeartbeat(16)).toBe(false);
  });

  test("early connection: one that sends its byte after the start is answered and does not count either", async () => {
    const { vsock, heartbeat, reported } = await startsAfter(undefined, [[16], [77, [0xb7]]]);
    expect([vsock.closed(100), vsock.closed(101)]).toEqual([false, true]);
    expect(reported).toHaveLength(1);
    expect(reported[0]).toStartWith("heartbeat from CID 77 answered");
    vsock.readable.set(100, [[0xb7]]);
    const waiters: Waiter[] = [];
    heartbeat.addWaiters(waiters);
    waiters.at(-1)?.ready(1);
    expect([vsock.sent.get(100), vsock.closed(100), heartbeat.isAwaited]).toEqual([1, true, true]);
  });

  test("early connection: is closed at once if it is the parent's own, or beyond what is kept of its CID", async () => {
    const peers = [1, 2, 3, ...Array(20).fill(77), 78].map((cid): [number] => [cid]);
    const { vsock, heartbeat } = await startsAfter(undefined, peers);
    const waiters: Waiter[] = [];
    heartbeat.addWaiters(waiters);
    expect([100, 101, 102, 103].map((fd) => vsock.closed(fd))).toEqual([true, true, true, true]);
    expect([122, 123].map((fd) => vsock.closed(fd))).toEqual([false, false]);
    expect(waiters.length).toBeLessThan(1 + 12);
  });

  test("early connection: is closed with a launch that does not start", () => {
    const vsock = new FakeVsock();
    const port = new HeartbeatPort(vsock.system, new Fd(vsock.system, 50), undefined);
    vsock.incoming.push(77);
    port.starting();
    port.close();
    expect([vsock.closed(50), vsock.closed(100)]).toEqual([true, true]);
  });
});

describe("a launcher without a free descriptor", () => {
  test("no free descriptor: the oldest connection is dropped, and the launcher keeps listening", async () => {
    const { vsock, heartbeat, connects, reported } = await shared(undefined);
    const silent = connects(77);
    connects(-24); // EMFILE
    expect([vsock.closed(silent?.fd ?? -1), heartbeat.isAwaited, reported]).toEqual([true, true, []]);
  });

  test("no free descriptor: without connections the port is kept, and that is reported", async () => {
    const { vsock, heartbeat, connects, reported } = await shared(undefined);
    connects(-24);
    expect([heartbeat.isAwaited, vsock.closed(50), reported.length]).toEqual([true, false, 1]);
  });
});

describe("a handoff socket, while descriptors or memory are short", () => {
  /** The port with the listener 50 and the handoff socket 51. */
  const sharing = (calls: Parameters<typeof fakeLibc>[0] = {}) => {
    const vsock = new FakeVsock();
    const faulty: System = { ...vsock.system, libc: { ...vsock.system.libc, ...fakeCalls(calls) } };
    const port = stack.use(new HeartbeatPort(faulty, new Fd(faulty, 50), new Fd(faulty, 51)));
    return { vsock, port, faulty };
  };
  const fakeCalls = (calls: Parameters<typeof fakeLibc>[0]) => {
    const all = fakeLibc(calls).libc;
    return Object.fromEntries(Object.keys(calls).map((name) => [name, all[name as keyof typeof all]]));
  };

  test.each([
    ["EMFILE", 24],
    ["ENOMEM", 12],
    ["ENOBUFS", 105],
    ["EINTR", 4],
  ])("handoff socket: accept4 that fails with %s leaves it open", (_name, errno) => {
    const { vsock, port } = sharing();
    vsock.incoming.push(-errno);
    port.serveOtherLaunchers();
    const waiters: Waiter[] = [];
    port.addWaiters(waiters);
    expect([vsock.closed(51), waiters.map(({ fd }) => fd)]).toEqual([false, [51]]);
  });

  test("handoff socket: a client for which no log can be created connects again, and the socket stays", () => {
    const { vsock, port } = sharing({ memfd_create: () => -1 });
    vsock.incoming.push(1);
    port.serveOtherLaunchers();
    expect([vsock.closed(100), vsock.closed(51)]).toEqual([true, false]);
  });
});
