import { describe, expect, test } from "bun:test";
import type { Chardev } from "../../../src/chardev/chardev.ts";
import { OutputQueue } from "../../../src/monitor/output-queue.ts";

/**
 * Returns a chardev that accepts at most `limit()` bytes per write and none at 0. At -1 its client has disconnected: it
 * calls `onDisconnect` during the write, as a frontend's closed() would be.
 */
function limitedChardev(limit: () => number, onDisconnect = () => {}): Chardev {
  const write = (_: unknown, start: number, end: number) => {
    const most = limit();
    if (most === 0) return -11;
    if (most > 0) return Math.min(most, end - start);
    onDisconnect();
    return end - start;
  };
  return {
    ...{ label: "l", type: "t", name: "n", fd: 3, writeTimeoutMs: 0, connected: true, attached: true },
    ...{ filename: () => "f", addWaiters() {}, attach() {}, [Symbol.dispose]() {}, write },
  };
}

describe("output queue", () => {
  test("output queue: is full at 64 KiB of unread output, until the client reads", () => {
    let limit = 0;
    const queue = new OutputQueue(limitedChardev(() => limit));
    queue.write("x".repeat(65_535));
    expect(queue.isFull).toBe(false);
    queue.write("x");
    expect([queue.isFull, queue.dropsEvents]).toEqual([true, false]);
    limit = 1000;
    queue.flush();
    expect(queue.isFull).toBe(false);
  });

  test("output queue: counts unread bytes correctly when clients disconnect during a write", () => {
    let limit = -1;
    const queue: OutputQueue = new OutputQueue(
      limitedChardev(
        () => limit,
        () => queue.clear(),
      ),
    );
    for (let i = 0; i < 100; i++) queue.write("x".repeat(50_000));
    limit = 0;
    queue.write("x".repeat(65_536));
    expect(queue.isFull).toBe(true);
  });
});
