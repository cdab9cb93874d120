import { describe, expect, test } from "bun:test";
import { awsTimeoutMs, Heartbeat } from "../../../src/devices/heartbeat/heartbeat.ts";
import { HeartbeatPort } from "../../../src/devices/heartbeat/port.ts";
import { Fd } from "../../../src/sys/files.ts";
import { nowMs, type Waiter } from "../../../src/sys/poll.ts";
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
  ])("for an image of %d bytes in %d bytes of memory is %d s", (image, memory, seconds) => {
    expect(awsTimeoutMs(image, memory)).toBe(seconds * 1000);
  });
});

/** An enclave's heartbeat (CID 16) on a listener with descriptor 50. */
function started(timeoutMs = 180_000, required = false) {
  const vsock = new FakeVsock();
  const told: string[] = [];
  const listener = new Fd(vsock.system, 50);
  const port = new HeartbeatPort(vsock.system, listener, undefined);
  const heartbeat = new Heartbeat(
    { system: vsock.system, report: (line) => told.push(line), port, timeoutMs, required },
    16,
    () => told.push("missed"),
  );
  const waiters = () => {
    const list: Waiter[] = [];
    heartbeat.addWaiters(list);
    return list;
  };
  /** Lets a peer connect and say what it says; then its waiter is woken. */
  const peer = (cid: number, ...says: (number[] | number)[]) => {
    vsock.incoming.push(cid);
    waiters()[0]?.ready(1);
    const fd = waiters().at(-1)?.fd ?? -1;
    vsock.readable.set(fd, says);
    waiters().at(-1)?.ready(1);
    return fd;
  };
  return { vsock, told, heartbeat, waiters, peer };
}

describe("the enclave's own heartbeat", () => {
  test("is answered and counted, and the port given back", () => {
    const { vsock, told, heartbeat, peer, waiters } = started();
    expect([heartbeat.awaited, heartbeat.arrived]).toEqual([true, false]);
    const fd = peer(16, [BYTE]);
    expect([heartbeat.awaited, heartbeat.arrived]).toEqual([false, true]);
    expect([vsock.sent.get(fd), vsock.closed(fd), vsock.closed(50)]).toEqual([1, true, true]);
    expect([waiters(), told]).toEqual([[], []]);
  });

  test("that comes after its connection is waited for", () => {
    const { heartbeat, peer, vsock, waiters } = started();
    const fd = peer(16);
    expect([heartbeat.awaited, vsock.closed(fd)]).toEqual([true, false]);
    vsock.readable.set(fd, [[BYTE]]);
    waiters().at(-1)?.ready(1);
    expect(heartbeat.arrived).toBe(true);
  });

  test("with a wrong byte is told, not answered, and still waited for", () => {
    const { heartbeat, told, peer, vsock } = started();
    const fd = peer(16, [0x42]);
    expect(told).toEqual(["heartbeat: the enclave sent byte 0x42 in place of 0xb7; it is not answered"]);
    expect([heartbeat.awaited, vsock.sent.get(fd), vsock.closed(fd)]).toEqual([true, undefined, true]);
  });

  test.each([
    ["nothing", []],
    ["a reset", -104],
  ])("that is %s does not count", (_name, says) => {
    const { heartbeat, peer, vsock } = started();
    const fd = peer(16, says);
    expect([heartbeat.awaited, vsock.closed(fd)]).toEqual([true, true]);
  });

  test("that waits when the enclave has ended counts", () => {
    const { heartbeat, vsock } = started();
    vsock.incoming.push(16);
    vsock.readable.set(100, [[BYTE]]);
    expect(heartbeat.enclaveEnded()).toBe(false);
    expect(heartbeat.arrived).toBe(true);
  });

  test("whose answer cannot be sent is told with the errno's name", () => {
    const { told, peer, vsock } = started();
    vsock.sendResult = -32;
    peer(16, [BYTE]);
    expect(told.length).toBe(1);
    expect(told[0]).toContain("EPIPE");
  });
});

describe("a stranger", () => {
  test("is answered, told and not counted", () => {
    const { heartbeat, told, peer, vsock } = started();
    const fd = peer(77, [BYTE]);
    expect(told).toEqual([
      "heartbeat: answered one from CID 77, which is not this enclave (CID 16); not counted",
    ]);
    expect([heartbeat.awaited, vsock.sent.get(fd), vsock.closed(fd)]).toEqual([true, 1, true]);
    peer(16, [BYTE]);
    expect(heartbeat.arrived).toBe(true);
  });

  test("that connects again and again is told once, and of many no more than some", () => {
    const { told, peer } = started();
    for (let i = 0; i < 3; i++) peer(77, [0x41]);
    expect(told).toEqual(["heartbeat: CID 77 sent byte 0x41 in place of 0xb7; it is not answered"]);
    for (let cid = 100; cid < 400; cid++) peer(cid, [0x41]);
    expect(told).toHaveLength(33);
    expect(told.at(-1)).toBe("heartbeat: more of the kind are not told (-d vsock shows them)");
  });

  test("that says nothing is heard out for five seconds", () => {
    const { peer, waiters, vsock } = started();
    const start = nowMs();
    const fd = peer(77);
    const waiter = waiters().at(-1);
    expect(waiter?.deadlineMs).toBeGreaterThanOrEqual(start + 5000);
    expect(waiter?.deadlineMs).toBeLessThan(start + 6000);
    waiter?.expired();
    expect(vsock.closed(fd)).toBe(true);
  });

  test("of many, the oldest gives way; the enclave's own connection does not", () => {
    const { peer, waiters, vsock, heartbeat } = started();
    const own = peer(16);
    const first = peer(77);
    for (let i = 0; i < 200; i++) peer(78);
    expect(waiters().length).toBe(1 + 64);
    expect([vsock.closed(own), vsock.closed(first)]).toEqual([false, true]);
    vsock.readable.set(own, [[BYTE]]);
    waiters()
      .find(({ fd }) => fd === own)
      ?.ready(1);
    expect(heartbeat.arrived).toBe(true);
  });
});

describe("no heartbeat", () => {
  test("within the time-out gives the port back, and the enclave lives on", () => {
    const { heartbeat, told, waiters, vsock } = started(270_000);
    const [listening] = waiters();
    expect((listening?.deadlineMs ?? 0) - nowMs()).toBeGreaterThan(269_000);
    listening?.expired();
    expect(told).toEqual([
      "heartbeat: none came within 270 s; vsock port 9000 is given back, the enclave lives on " +
        "(an init other than AWS's need not send one)",
    ]);
    expect([heartbeat.awaited, vsock.closed(50), waiters()]).toEqual([false, true, []]);
  });

  test("that is required is told with what to look at, and the enclave's owner is called", () => {
    const { heartbeat, told, waiters, vsock } = started(5_000, true);
    waiters()[0]?.expired();
    expect(told).toEqual([
      "heartbeat: none came within 5 s; heartbeat=require stops the enclave (the enclave's init sends byte 0xb7 " +
        "to CID 3, port 9000, as AWS's does once it is up; the enclave's console tells how far it came: " +
        "-accel nitro,debug-mode=on shows it)",
      "missed",
    ]);
    expect([heartbeat.awaited, vsock.closed(50), waiters()]).toEqual([false, true, []]);
  });

  test("that is required, because no connection can be taken, stops the enclave too", () => {
    const { told, waiters, vsock } = started(5_000, true);
    vsock.incoming.push(-24);
    waiters()[0]?.ready(1);
    expect(told[0]).toContain("Too many open files (EMFILE); heartbeat=require stops the enclave");
    expect(told[1]).toBe("missed");
  });

  test("because no connection can be taken is told", () => {
    const { heartbeat, told, waiters, vsock } = started();
    vsock.incoming.push(-24);
    waiters()[0]?.ready(1);
    expect(told[0]).toContain("Too many open files (EMFILE)");
    expect([heartbeat.awaited, vsock.closed(50)]).toEqual([false, true]);
  });
});

test("everything is closed at the end", () => {
  const { heartbeat, peer, vsock } = started();
  const fds = [peer(16), peer(77)];
  heartbeat[Symbol.dispose]();
  expect([...fds, 50].map((fd) => vsock.closed(fd))).toEqual([true, true, true]);
});
