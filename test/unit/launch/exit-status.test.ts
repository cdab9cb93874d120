import { describe, expect, test } from "bun:test";
import { describeExit, type EnclaveExit, EXIT } from "../../../src/launch/exit-status.ts";

const PANIC = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100";
const RESTART = "[    1.0] reboot: Restarting system\n";
const UNKNOWN = "exited after 2.4 s; cause unknown: its console shows neither a panic nor a power-off";
const NO_HEARTBEAT = "exited 2.4 s after start, without a heartbeat";

/** An enclave in debug mode that exited 2.4 s after its start. */
function exit(known: Partial<EnclaveExit>): EnclaveExit {
  return { debugMode: true, elapsedMs: 2_430, commandLine: "console=ttyS0", ...known };
}

describe("describeExit", () => {
  test.each([
    [RESTART, "awaited", 3, NO_HEARTBEAT],
    [RESTART, undefined, 5, UNKNOWN],
    ["", undefined, 5, UNKNOWN],
    ["[    9.5] reboot: Power down\n", undefined, 0, "powered off after 2.4 s"],
    ["[    9.5] reboot: System halted\r\n", undefined, 0, "powered off after 2.4 s"],
    ["[    9.5] reboot: Power down\n", "awaited", 0, "powered off after 2.4 s"],
    [`[    0.9] ${PANIC}\r\n`, undefined, 4, `crashed after 2.4 s; its console says: ${PANIC}`],
    [`[    0.9] ${PANIC}\r\n`, "awaited", 3, `${NO_HEARTBEAT}; its console says: ${PANIC}`],
    [
      "child exited with error 7\n",
      undefined,
      4,
      "crashed after 2.4 s; its console says: child exited with error 7",
    ],
    [
      "child exited by signal 9\n",
      undefined,
      4,
      "crashed after 2.4 s; its console says: child exited by signal 9",
    ],
    [
      "child exited with error 1\nreboot: Power down\n",
      undefined,
      4,
      "crashed after 2.4 s; its console says: child exited with error 1",
    ],
    ["", "missed", 3, "was stopped 2.4 s after start, without a heartbeat"],
    [
      `${PANIC}\n`,
      "missed",
      3,
      `was stopped 2.4 s after start, without a heartbeat; its console says: ${PANIC}`,
    ],
    ["reboot: Power down\n", "missed", 3, "was stopped 2.4 s after start, without a heartbeat"],
  ] as const)(
    "describeExit: console %p, heartbeat %p: status %d",
    (consoleTail, heartbeat, status, message) => {
      expect(describeExit(exit({ consoleTail, heartbeat }))).toEqual({ status, message });
    },
  );

  test("describeExit: an exit before the heartbeat with an empty console says so, and that console= is missing", () => {
    const empty = { consoleTail: "", heartbeat: "awaited" } as const;
    expect(describeExit(exit(empty)).message).toBe(`${NO_HEARTBEAT}; the console stayed empty`);
    expect(describeExit(exit({ ...empty, commandLine: "quiet noconsole=1" })).message).toBe(
      `${NO_HEARTBEAT}; the console stayed empty; the command line has no console=ttyS0`,
    );
  });

  test("describeExit: an exit in production mode does not say that the console stayed empty", () => {
    const { message } = describeExit(exit({ heartbeat: "awaited", debugMode: false, commandLine: "" }));
    expect(message).toBe(NO_HEARTBEAT);
  });

  test("describeExit: an unknown cause in production mode says how to reproduce it", () => {
    expect(describeExit(exit({ debugMode: false, elapsedMs: 3_000 }))).toEqual({
      status: 5,
      message:
        "exited after 3 s; cause unknown: production mode has no console; hint: reproduce it with test data and " +
        "debug-mode=on (its PCRs are zero)",
    });
  });

  test("describeExit: an unknown cause without a console says that the console was not connected", () => {
    expect(describeExit(exit({})).message).toBe(
      "exited after 2.4 s; cause unknown: its console was not connected",
    );
  });

  test.each([
    [40, "40 ms"],
    [999, "999 ms"],
    [1_040, "1 s"],
    [3_000, "3 s"],
    [9_940, "9.9 s"],
    [10_400, "10 s"],
    [119_900, "120 s"],
    [120_000, "2 min"],
    [7_100_000, "118 min"],
    [7_200_000, "2 h"],
    [172_799_000, "47 h"],
    [172_800_000, "2 days"],
  ])("describeExit: %d ms are printed as %s", (elapsedMs, text) => {
    expect(describeExit(exit({ elapsedMs })).message).toStartWith(`exited after ${text}; `);
  });

  test("describeExit: quotes at most 120 characters of the console, without control characters", () => {
    const consoleTail = `Kernel panic - not syncing: \x1b]0;title\x07\u009b2J${"x".repeat(300)}`;
    const { message } = describeExit(exit({ consoleTail }));
    const before = "crashed after 2.4 s; its console says: ";
    expect(message).toStartWith(`${before}Kernel panic - not syncing: ?]0;title??2Jxxx`);
    expect(message.length).toBe(before.length + 120);
  });

  test("describeExit: 8 KiB of adverse console text take less than 100 ms", () => {
    const consoleTail = "child exited with error ".repeat(400) + "reboot: ".repeat(400);
    const start = Bun.nanoseconds();
    describeExit(exit({ consoleTail }));
    expect(Bun.nanoseconds() - start).toBeLessThan(100e6);
  });
});

test("exit statuses: are those of the manual", () => {
  expect(EXIT).toEqual({ stopped: 0, notLaunched: 1, noHeartbeat: 3, crashed: 4, exited: 5 });
});
