import { describe, expect, test } from "bun:test";
import { Heartbeat } from "../../../src/devices/heartbeat/heartbeat.ts";
import { HeartbeatPort } from "../../../src/devices/heartbeat/port.ts";
import { awsTimeoutMs } from "../../../src/devices/heartbeat/timeout.ts";
import { Fd } from "../../../src/sys/files.ts";
import { nowMs, type Waiter } from "../../../src/sys/poll.ts";
import { listenVsock } from "../../../src/sys/socket/vsock.ts";
import { FakeVsock } from "./fake-vsock.ts";

const GIB = 2 ** 30;
const BYTE = 0xb7;

describe("AWS's time-out", () => {
  test.each([
    [1, 1, 180],
    [50 * 2 ** 20, 512 * 2 ** 20, 180],
    [6 * GIB, 100 * GIB, 180],
    [6 * GIB + 1, 100 * GIB, 270],
    [6 * GIB, 100 * GIB + 1, 270],
    [12 * GIB + 1, 200 * GIB + 1, 540],
  ])(
    "AWS's time-out: for an image of %d bytes in %d bytes of memory is %d s",
    async (image, memory, seconds) => {
      expect(awsTimeoutMs(image, memory)).toBe(seconds * 1000);
    },
  );
});

/** An enclave's heartbeat (CID 16) on a listener with descriptor 50. */
async function started(timeoutMs = 180_000, required = false) {
  const vsock = new FakeVsock();
  const reported: string[] = [];
  const listener = new Fd(vsock.system, 50);
  const port = new HeartbeatPort(vsock.system, listener, undefined);
  const heartbeat = new Heartbeat({
    system: vsock.system,
    report: (line) => reported.push(line),
    claimPort: () => Promise.resolve(port),
    timeoutMs,
    required,
  });
  await heartbeat.realize();
  heartbeat.enclaveStarted(16);
  const waiters = () => {
    const list: Waiter[] = [];
    heartbeat.addWaiters(list);
    return list;
  };
  /** Connects a peer that sends these bytes, then wakes its waiter. */
  const peer = (cid: number, ...says: (number[] | number)[]) => {
    vsock.incoming.push(cid);
    waiters()[0]?.ready(1);
    const fd = waiters().at(-1)?.fd ?? -1;
    vsock.readable.set(fd, says);
    waiters().at(-1)?.ready(1);
    return fd;
  };
  return { vsock, reported, heartbeat, waiters, peer };
}

describe("own heartbeat", () => {
  test("own heartbeat: is answered and counted, and releases the port", async () => {
    const { vsock, reported, heartbeat, peer, waiters } = await started();
    expect([heartbeat.isAwaited, heartbeat.hasArrived]).toEqual([true, false]);
    const fd = peer(16, [BYTE]);
    expect([heartbeat.isAwaited, heartbeat.hasArrived]).toEqual([false, true]);
    expect([vsock.sent.get(fd), vsock.closed(fd), vsock.closed(50)]).toEqual([1, true, true]);
    expect([waiters(), reported]).toEqual([[], []]);
  });

  test("own heartbeat: may come later than its connection", async () => {
    const { heartbeat, peer, vsock, waiters } = await started();
    const fd = peer(16);
    expect([heartbeat.isAwaited, vsock.closed(fd)]).toEqual([true, false]);
    vsock.readable.set(fd, [[BYTE]]);
    waiters().at(-1)?.ready(1);
    expect(heartbeat.hasArrived).toBe(true);
  });

  test("own heartbeat: a wrong byte is reported, not answered, and still awaited", async () => {
    const { heartbeat, reported, peer, vsock } = await started();
    const fd = peer(16, [0x42]);
    expect(reported).toEqual(["heartbeat: the enclave sent byte 0x42 instead of 0xb7; not answered"]);
    expect([heartbeat.isAwaited, vsock.sent.get(fd), vsock.closed(fd)]).toEqual([true, undefined, true]);
  });

  test.each([
    ["nothing", []],
    ["a reset", -104],
  ])("own heartbeat: one that is %s does not count", async (_name, says) => {
    const { heartbeat, peer, vsock } = await started();
    const fd = peer(16, says);
    expect([heartbeat.isAwaited, vsock.closed(fd)]).toEqual([true, true]);
  });

  test("own heartbeat: counts if it was sent immediately before the exit", async () => {
    const { heartbeat, vsock } = await started();
    vsock.incoming.push(16);
    vsock.readable.set(100, [[BYTE]]);
    heartbeat.enclaveExited();
    expect(heartbeat.exitEvidence()).toEqual({ heartbeat: undefined });
    expect(heartbeat.hasArrived).toBe(true);
  });

  test("own heartbeat: is reported with the errno's name if the answer cannot be sent", async () => {
    const { reported, peer, vsock } = await started();
    vsock.sendResult = -32;
    peer(16, [BYTE]);
    expect(reported.length).toBe(1);
    expect(reported[0]).toContain("EPIPE");
  });
});

describe("peer with another CID", () => {
  test("peer with another CID: is answered and reported, and does not count", async () => {
    const { heartbeat, reported, peer, vsock } = await started();
    const fd = peer(77, [BYTE]);
    expect(reported).toEqual(["heartbeat from CID 77 answered, but not counted: this enclave has CID 16"]);
    expect([heartbeat.isAwaited, vsock.sent.get(fd), vsock.closed(fd)]).toEqual([true, 1, true]);
    peer(16, [BYTE]);
    expect(heartbeat.hasArrived).toBe(true);
  });

  test("peer with another CID: is reported once, and only a limited number of peers is", async () => {
    const { reported, peer } = await started();
    for (let i = 0; i < 3; i++) peer(77, [0x41]);
    expect(reported).toEqual(["heartbeat: CID 77 sent byte 0x41 instead of 0xb7; not answered"]);
    for (let cid = 100; cid < 400; cid++) peer(cid, [0x41]);
    expect(reported).toHaveLength(33);
    expect(reported.at(-1)).toBe(
      "heartbeat: further messages about other CIDs are suppressed (-d vsock shows them)",
    );
  });

  test("peer with another CID: is dropped after five seconds of silence", async () => {
    const { peer, waiters, vsock } = await started();
    const start = nowMs();
    const fd = peer(77);
    const waiter = waiters().at(-1);
    expect(waiter?.deadlineMs).toBeGreaterThanOrEqual(start + 5000);
    expect(waiter?.deadlineMs).toBeLessThan(start + 6000);
    waiter?.expired();
    expect(vsock.closed(fd)).toBe(true);
  });

  test("peer with another CID: is dropped if it is the oldest of too many CIDs; the enclave's own connection is kept", async () => {
    const { peer, waiters, vsock, heartbeat } = await started();
    const own = peer(16);
    const first = peer(77);
    for (let cid = 100; cid < 300; cid++) peer(cid);
    expect(waiters().length).toBe(1 + 64);
    expect([vsock.closed(own), vsock.closed(first)]).toEqual([false, true]);
    vsock.readable.set(own, [[BYTE]]);
    waiters()
      .find(({ fd }) => fd === own)
      ?.ready(1);
    expect(heartbeat.hasArrived).toBe(true);
  });
});

describe("a CID that connects again and again", () => {
  test("CID that connects again and again: displaces its own connections only, and these are few", async () => {
    const { peer, waiters, vsock } = await started();
    const [own, other] = [peer(16), peer(77)];
    const first = peer(78);
    for (let i = 0; i < 500; i++) peer(78);
    expect(waiters().length).toBeLessThan(1 + 2 + 10);
    expect([own, other, first].map((fd) => vsock.closed(fd))).toEqual([false, false, true]);
    vsock.readable.set(other, [[BYTE]]);
    waiters()
      .find(({ fd }) => fd === other)
      ?.ready(1);
    expect(vsock.sent.get(other)).toBe(1);
  });
});

describe("connection from the parent", () => {
  test.each([0, 1, 2, 3])(
    "connection from the parent: CID %d is closed at once and not answered",
    async (cid) => {
      const { waiters, vsock, heartbeat, reported } = await started();
      vsock.incoming.push(cid);
      vsock.readable.set(100, [[BYTE]]);
      waiters()[0]?.ready(1);
      expect([vsock.closed(100), vsock.sent.get(100), waiters().length]).toEqual([true, undefined, 1]);
      expect([heartbeat.isAwaited, reported]).toEqual([true, []]);
    },
  );
});

describe("connections that wait together", () => {
  test("waiting connections: are accepted in one turn, so that the queue does not fill", async () => {
    const { waiters, vsock, heartbeat } = await started();
    vsock.incoming.push(...Array(200).fill(3), 77, 16);
    vsock.readable.set(300, [[BYTE]]); // 77's
    vsock.readable.set(301, [[BYTE]]);
    waiters()[0]?.ready(1);
    expect([vsock.sent.get(300), heartbeat.hasArrived]).toEqual([1, true]);
  });

  test("waiting connections: an endless number does not keep the loop in one turn", async () => {
    const { waiters, vsock } = await started();
    vsock.incoming.push(...Array(5000).fill(3));
    waiters()[0]?.ready(1);
    expect(vsock.incoming.length).toBeGreaterThan(4000);
  });

  test("waiting connections: fit into the longest queue that the kernel allows", async () => {
    const vsock = new FakeVsock();
    listenVsock(vsock.system, 9000).close();
    expect(vsock.backlogs).toEqual([4096]);
  });
});

describe("no heartbeat", () => {
  test("missing heartbeat: after the time-out the port is released, and the enclave keeps running", async () => {
    const { heartbeat, reported, waiters, vsock } = await started(270_000);
    const [listening] = waiters();
    expect((listening?.deadlineMs ?? 0) - nowMs()).toBeGreaterThan(269_000);
    listening?.expired();
    expect(reported).toEqual(["no heartbeat within 270 s; no longer waiting, the enclave keeps running"]);
    expect(heartbeat.requiresStop).toBe(false);
    expect([heartbeat.isAwaited, vsock.closed(50), waiters()]).toEqual([false, true, []]);
  });

  test("missing heartbeat: stops the enclave if it is required, with a hint", async () => {
    const { heartbeat, reported, waiters, vsock } = await started(5_000, true);
    waiters()[0]?.expired();
    expect(reported).toEqual([
      "no heartbeat within 5 s; stopping the enclave (heartbeat=require); hint: its init must send byte 0xb7 to " +
        "CID 3, port 9000, as AWS's init does once it is up; -accel nitro,debug-mode=on shows the console",
    ]);
    expect([heartbeat.requiresStop, heartbeat.exitEvidence()]).toEqual([true, { heartbeat: "missed" }]);
    expect([heartbeat.isAwaited, vsock.closed(50), waiters()]).toEqual([false, true, []]);
  });
});

describe("an error of accept4", () => {
  test.each([
    ["ENOMEM", 12],
    ["EMFILE", 24],
    ["ENFILE", 23],
    ["ENOBUFS", 105],
    ["EPERM", 1],
    ["EIO", 5],
  ])(
    "error of accept4: %s keeps the port, is reported once, and the heartbeat is counted later",
    async (name, errno) => {
      for (const required of [false, true]) {
        const { heartbeat, reported, waiters, vsock, peer } = await started(5_000, required);
        for (let i = 0; i < 3; i++) {
          vsock.incoming.push(-errno);
          waiters()[0]?.ready(1);
        }
        expect(reported).toHaveLength(1);
        expect(reported[0]).toMatch(
          new RegExp(
            `^heartbeat: accept4 vsock port 9000: .*\\(${name}\\); trying again, the enclave keeps running$`,
          ),
        );
        expect([heartbeat.isAwaited, heartbeat.requiresStop, vsock.closed(50)]).toEqual([true, false, false]);
        // The loop does not spin on a listener that stays readable.
        expect(vsock.system.isShort).toBe(true);
        peer(16, [BYTE]);
        expect(heartbeat.hasArrived).toBe(true);
      }
    },
  );

  test.each([
    ["EINTR", 4],
    ["ECONNABORTED", 103],
    ["EPROTO", 71],
  ])("error of accept4: %s is not reported", async (_name, errno) => {
    const { heartbeat, reported, waiters, vsock, peer } = await started();
    vsock.incoming.push(-errno);
    waiters()[0]?.ready(1);
    expect([reported, heartbeat.isAwaited]).toEqual([[], true]);
    peer(16, [BYTE]);
    expect(heartbeat.hasArrived).toBe(true);
  });
});

describe("an answer that cannot be sent now", () => {
  test.each([
    ["EAGAIN", 11],
    ["EINTR", 4],
    ["ENOBUFS", 105],
    ["ENOMEM", 12],
  ])("answer: one that fails with %s is sent when the connection is writable", async (_name, errno) => {
    for (const cid of [16, 77]) {
      const { heartbeat, reported, waiters, vsock, peer } = await started();
      vsock.sendResult = -errno;
      const fd = peer(cid, [BYTE]);
      const waiting = waiters().find((each) => each.fd === fd);
      expect([waiting?.events, vsock.closed(fd), heartbeat.hasArrived, reported]).toEqual([
        4,
        false,
        false,
        [],
      ]);
      vsock.sendResult = 1;
      waiting?.ready(4);
      expect([vsock.closed(fd), heartbeat.hasArrived]).toEqual([true, cid === 16]);
    }
  });
});

describe("a byte that cannot be read now", () => {
  test.each([
    ["EINTR", 4],
    ["ENOMEM", 12],
    ["ENOBUFS", 105],
  ])("byte of a peer: one whose read fails with %s is read later", async (_name, errno) => {
    const { heartbeat, peer, vsock, waiters } = await started();
    const fd = peer(16, -errno);
    expect([heartbeat.isAwaited, vsock.closed(fd)]).toEqual([true, false]);
    vsock.readable.set(fd, [[BYTE]]);
    waiters().at(-1)?.ready(1);
    expect(heartbeat.hasArrived).toBe(true);
  });
});

test("heartbeat: disposal closes the port and all connections", async () => {
  const { heartbeat, peer, vsock } = await started();
  const fds = [peer(16), peer(77)];
  heartbeat[Symbol.dispose]();
  expect([...fds, 50].map((fd) => vsock.closed(fd))).toEqual([true, true, true]);
});
