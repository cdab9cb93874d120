import { describe, expect, test } from "bun:test";
import { EXIT, verdict } from "../../../src/launch/exit-status.ts";

const PANIC = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100";

describe("how an enclave ended by itself", () => {
  test.each([
    ["", true, 3, "ended before its heartbeat"],
    ["[    1.0] reboot: Restarting system\n", true, 3, "ended before its heartbeat"],
    ["", false, 5, "ended by itself, and nothing tells why"],
    ["[    1.0] reboot: Restarting system\n", false, 5, "ended by itself, and nothing tells why"],
    ["[    9.5] reboot: Power down\n", false, 0, "powered off in order"],
    ["[    9.5] reboot: System halted\r\n", false, 0, "powered off in order"],
    ["[    9.5] reboot: Power down\n", true, 0, "powered off in order"],
    [`[    0.9] ${PANIC}\r\n`, false, 4, `crashed; its console says: ${PANIC}`],
    [`[    0.9] ${PANIC}\r\n`, true, 3, `ended before its heartbeat; its console says: ${PANIC}`],
    ["child exited with error 7\n", false, 4, "crashed; its console says: child exited with error 7"],
    ["child exited by signal 9\n", false, 4, "crashed; its console says: child exited by signal 9"],
    [
      "child exited with error 1\nreboot: Power down\n",
      false,
      4,
      "crashed; its console says: child exited with error 1",
    ],
  ])("%p, heartbeat awaited %p: %d", (consoleTail, heartbeatAwaited, status, sentence) => {
    expect(verdict({ consoleTail, heartbeatAwaited, stoppedForHeartbeat: false })).toEqual({
      status,
      sentence,
    });
  });

  test.each([
    ["", "was stopped without a heartbeat"],
    [`${PANIC}\n`, `was stopped without a heartbeat; its console says: ${PANIC}`],
    ["reboot: Power down\n", "was stopped without a heartbeat"],
  ])("%p, stopped for want of a heartbeat: 3", (consoleTail, sentence) => {
    const told = verdict({ consoleTail, heartbeatAwaited: false, stoppedForHeartbeat: true });
    expect(told).toEqual({ status: 3, sentence });
  });

  test("the enclave's words are told without control characters, cut at 120", () => {
    const { sentence } = verdict({
      consoleTail: `Kernel panic - not syncing: \x1b]0;title\x07\u009b2J${"x".repeat(300)}`,
      heartbeatAwaited: false,
      stoppedForHeartbeat: false,
    });
    expect(sentence).toStartWith("crashed; its console says: Kernel panic - not syncing: ?]0;title??2Jxxx");
    expect(sentence.length).toBe("crashed; its console says: ".length + 120);
  });

  test("a tail of 8 KiB of adverse text is judged at once", () => {
    const start = Bun.nanoseconds();
    verdict({
      consoleTail: "child exited with error ".repeat(400) + "reboot: ".repeat(400),
      heartbeatAwaited: false,
      stoppedForHeartbeat: false,
    });
    expect(Bun.nanoseconds() - start).toBeLessThan(100e6);
  });
});

test("the statuses are those of the design, none of them a signal's", () => {
  expect(EXIT).toEqual({ stopped: 0, notLaunched: 1, noHeartbeat: 3, crashed: 4, ended: 5 });
});
