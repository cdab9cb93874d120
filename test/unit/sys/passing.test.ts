/** File descriptor passing, abstract sockets and broadcast events, with the real kernel, within this process. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import {
  acknowledgeBroadcast,
  createBroadcastEvent,
  signalBroadcast,
  watchBroadcastEvent,
} from "../../../src/sys/broadcast-event.ts";
import { Fd, readSome, writeSome } from "../../../src/sys/files.ts";
import { addressOf } from "../../../src/sys/libc.ts";
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import { createAppendFile } from "../../../src/sys/memory-file.ts";
import { isReadable } from "../../../src/sys/poll.ts";
import {
  acceptAbstract,
  connectAbstract,
  listenAbstract,
  listeningNames,
  peerUser,
} from "../../../src/sys/socket/abstract.ts";
import { receiveDescriptors, sendDescriptors } from "../../../src/sys/socket/descriptor-passing.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { userErrorOf } from "../../support/error-of.ts";

const system = openSystem();
let stack = new DisposableStack();
afterEach(() => {
  stack.dispose();
  stack = new DisposableStack();
});

/** Both ends of a connection through a new abstract socket. */
function pair(): { name: string; near: Fd; far: Fd } {
  const name = `nitro-test-${crypto.randomUUID()}`;
  const listener = stack.use(listenAbstract(system, name));
  const near = connectAbstract(system, name);
  const far = acceptAbstract(system, listener);
  if (typeof near === "number" || typeof far === "number") throw new Error(`${near} ${far}`);
  return { name, near: stack.use(near), far: stack.use(far) };
}

function file(): Fd {
  return stack.use(createAppendFile(system, "nitro-test"));
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

const BODY = Uint8Array.of(7);

describe("a message with descriptors", () => {
  test("descriptor passing: delivers duplicates with O_CLOEXEC", () => {
    const { near, far } = pair();
    const [one, two] = [file(), file()];
    expect(sendDescriptors(system, far, BODY, [one, two])).toBe(0);
    const received = receiveDescriptors(system, near, 1, 2);
    for (const fd of received?.fds ?? []) stack.use(fd);
    expect(received?.body).toEqual(BODY);
    const [first] = received?.fds ?? [];
    const text = new TextEncoder().encode("hello");
    expect(writeSome(system, first?.number ?? -1, addressOf(text), text.length)).toBe(5);
    expect(readFileSync(`/proc/self/fd/${one.number}`, "utf8")).toBe("hello");
    for (const fd of received?.fds ?? []) {
      const [, flags = ""] =
        /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd.number}`, "utf8")) ?? [];
      expect(Number.parseInt(flags, 8) & 0o2000000).toBe(0o2000000);
    }
  });

  test.each([0, 1, 3, 4, 5, 40])(
    "descriptor passing: %d descriptors instead of two are rejected and closed",
    (count) => {
      const { near, far } = pair();
      const fds = Array.from({ length: count }, file);
      const before = openDescriptors();
      expect(sendDescriptors(system, far, BODY, fds)).toBe(0);
      expect(receiveDescriptors(system, near, 1, 2)).toBeUndefined();
      expect(openDescriptors()).toBe(before);
    },
  );

  test("descriptor passing: returns undefined if no message is queued, and at the end", () => {
    const { near, far } = pair();
    expect(receiveDescriptors(system, near, 1, 2)).toBeUndefined();
    far.close();
    expect(isReadable(system, near.number)).toBe(true);
    expect(receiveDescriptors(system, near, 1, 2)).toBeUndefined();
  });

  test("descriptor passing: a message can be received after the sender has closed its end", () => {
    const { near, far } = pair();
    sendDescriptors(system, far, BODY, [file()]);
    far.close();
    const received = receiveDescriptors(system, near, 1, 1);
    for (const fd of received?.fds ?? []) stack.use(fd);
    expect(received?.fds).toHaveLength(1);
  });

  test("descriptor passing: a message to a closed peer fails with EPIPE, without SIGPIPE", () => {
    const { near, far } = pair();
    near.close();
    expect(sendDescriptors(system, far, BODY, [file()])).toBe(-ERRNO.EPIPE);
  });
});

describe("abstract socket", () => {
  test("abstract socket: has one owner; the name is free again after close", () => {
    const name = `nitro-test-${crypto.randomUUID()}`;
    const first = listenAbstract(system, name);
    expect(userErrorOf(() => listenAbstract(system, name)).why).toContain("EADDRINUSE");
    first.close();
    stack.use(listenAbstract(system, name));
  });

  test("abstract socket: without a listener refuses connections", () => {
    expect(connectAbstract(system, `nitro-test-${crypto.randomUUID()}`)).toBe(-ERRNO.ECONNREFUSED);
  });

  test("abstract socket: reports the user of the peer on both sides", () => {
    const { near, far } = pair();
    const self = process.geteuid?.();
    expect([peerUser(system, near), peerUser(system, far)]).toEqual([self, self]);
    const nothing = new Fd(system, -1);
    expect(peerUser(system, nothing)).toBeUndefined();
  });

  test("abstract socket: is listed by its prefix while it is listening", () => {
    const prefix = `nitro-test-${crypto.randomUUID()}`;
    const names = [`${prefix}-a`, `${prefix}-b c`];
    for (const name of names) stack.use(listenAbstract(system, name));
    expect(listeningNames(system, prefix).sort()).toEqual(names);
    expect(listeningNames(system, `${prefix}-a`)).toEqual([`${prefix}-a`]);
    stack.dispose();
    expect(listeningNames(system, prefix)).toEqual([]);
    stack = new DisposableStack();
  });
});

describe("broadcast event", () => {
  test("broadcast event: wakes every watcher once for each signal", () => {
    const event = stack.use(createBroadcastEvent(system));
    const watches = [0, 1, 2].map(() => stack.use(watchBroadcastEvent(system, event)));
    const awake = () => watches.map(({ number }) => isReadable(system, number));
    expect(awake()).toEqual([false, false, false]);
    for (let time = 0; time < 3; time++) {
      signalBroadcast(system, event);
      expect(awake()).toEqual([true, true, true]);
      const [first, ...others] = watches;
      if (first !== undefined) acknowledgeBroadcast(system, first);
      expect(awake()).toEqual([false, true, true]);
      for (const watch of others) acknowledgeBroadcast(system, watch);
      expect(awake()).toEqual([false, false, false]);
    }
  });

  test("broadcast event: accepts 100000 signals without a reader", () => {
    const event = stack.use(createBroadcastEvent(system));
    for (let i = 0; i < 100_000; i++) signalBroadcast(system, event);
    const count = new Uint8Array(8);
    expect(readSome(system, event.number, count)).toBe(8);
    expect(new DataView(count.buffer).getBigUint64(0, true)).toBe(100_000n);
  });
});
