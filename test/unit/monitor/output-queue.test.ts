import { describe, expect, test } from "bun:test";
import type { Chardev } from "../../../src/chardev/chardev.ts";
import { OutputQueue } from "../../../src/monitor/output-queue.ts";

/** A line that takes so many bytes of each write; -1 for a client that is found gone, which clears the outbox. */
function lineOf(takes: () => number, gone: () => void): Chardev {
  const write = (_: unknown, start: number, end: number) => {
    const most = takes();
    if (most === 0) return -11;
    if (most > 0) return Math.min(most, end - start);
    gone();
    return end - start;
  };
  return {
    ...{ label: "l", type: "t", name: "n", fd: 3, writeTimeoutMs: 0, connected: true, attached: true },
    ...{ filename: () => "f", addWaiters() {}, attach() {}, [Symbol.dispose]() {}, write },
  };
}

describe("what a monitor has to say", () => {
  test("is full at 64 KiB that nobody takes, and has room again when it is taken", () => {
    let takes = 0;
    const outbox = new OutputQueue(
      lineOf(
        () => takes,
        () => {},
      ),
    );
    outbox.say("x".repeat(65_535));
    expect(outbox.isFull).toBe(false);
    outbox.say("x");
    expect([outbox.isFull, outbox.isOverfull]).toEqual([true, false]);
    takes = 1000;
    outbox.flush();
    expect(outbox.isFull).toBe(false);
  });

  test("is counted right however many clients go in the middle of it", () => {
    let takes = -1;
    const outbox: OutputQueue = new OutputQueue(
      lineOf(
        () => takes,
        () => outbox.clear(),
      ),
    );
    for (let i = 0; i < 100; i++) outbox.say("x".repeat(50_000));
    takes = 0;
    outbox.say("x".repeat(65_536));
    expect(outbox.isFull).toBe(true);
  });
});
