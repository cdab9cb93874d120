import { describe, expect, test } from "bun:test";
import { Cancelled, watchCancellation } from "../../../src/launch/cancellation.ts";
import { nowMs } from "../../../src/sys/poll.ts";
import type { Signals, StopSignal } from "../../../src/sys/signals.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

function signals(...come: StopSignal[]): Signals {
  return { fd: -1, next: () => come.shift(), onHangup() {}, onContinue() {}, [Symbol.dispose]() {} };
}

describe("cancellation", () => {
  test("cancellation: check returns if there is no signal", () => {
    expect(watchCancellation(openSystem(), signals()).check()).toBeUndefined();
  });

  test("cancellation: check throws an error that names the signal", () => {
    const { check } = watchCancellation(openSystem(), signals("SIGTERM"));
    expect(check).toThrow(new Cancelled("SIGTERM"));
  });

  test("cancellation: a pause without a signal lasts its whole time", () => {
    const start = nowMs();
    watchCancellation(openSystem(), signals()).pause(20);
    expect(nowMs() - start).toBeGreaterThanOrEqual(20);
  });

  test("cancellation: a pause ends as soon as a signal arrives", () => {
    const ready = fakeLibc({
      poll: (table) => {
        if (table instanceof Uint8Array) table[6] = 1;
        return 1;
      },
    });
    const start = nowMs();
    expect(() => watchCancellation(ready, signals("SIGINT")).pause(60_000)).toThrow("stopped by SIGINT");
    expect(nowMs() - start).toBeLessThan(1000);
  });
});
