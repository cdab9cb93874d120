/** The status that a launch which holds the port publishes for those that cannot share it. */
import { describe, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import {
  decodeStatus,
  encodeStatus,
  publishStatus,
  STATUS_BYTES,
  STATUS_FILE,
} from "../../../src/devices/heartbeat/holder-status.ts";
import { memoryFileLink } from "../../../src/sys/memory-file.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const system = openSystem();

describe("the status of a holder", () => {
  test("holder status: has the CID, and the time that is left counts down", async () => {
    const bytes = encodeStatus(system, { cid: 0xfffffffe, timeoutMs: 1000 });
    await Bun.sleep(20);
    const status = decodeStatus(system, bytes);
    if (typeof status !== "object") throw new Error("no status");
    expect(status.cid).toBe(0xfffffffe);
    expect(status.leftMs).toBeGreaterThan(0);
    expect(status.leftMs).toBeLessThan(1000);
  });

  test("holder status: the time is never more than the time-out, nor negative, whatever the clock says", () => {
    const bytes = encodeStatus(system, { cid: 17, timeoutMs: 2000 });
    const view = new DataView(bytes.buffer);
    for (const [until, leftMs] of [
      [1n, 0],
      [2n ** 63n, 2000],
    ] as const) {
      view.setBigUint64(16, until, true);
      expect(decodeStatus(system, bytes)).toEqual({ cid: 17, leftMs });
    }
    view.setUint32(8, 0xffffffff, true); // milliseconds: 49 days
    expect(decodeStatus(system, bytes)).toEqual({ cid: 17, leftMs: 86_400_000 });
  });

  test("holder status: before the enclave's start it says that the enclave is being prepared", () => {
    expect(decodeStatus(system, encodeStatus(system))).toBe("preparing");
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["too few bytes", new Uint8Array(STATUS_BYTES - 1).fill(1)],
    ["another version", new Uint8Array(STATUS_BYTES).fill(0xff)],
    ["zeros", new Uint8Array(STATUS_BYTES)],
  ])("holder status: is not taken from %s", (_name, bytes) => {
    expect(decodeStatus(system, bytes)).toBeUndefined();
  });

  test("holder status: is published in a file that /proc shows by its name until it is closed", () => {
    using file = publishStatus(system, encodeStatus(system, { cid: 17, timeoutMs: 1000 }));
    expect(readlinkSync(`/proc/self/fd/${file?.number}`)).toBe(memoryFileLink(STATUS_FILE));
  });

  test("holder status: is left out if it cannot be published, because the enclave runs already", () => {
    const full = fakeLibc({ memfd_create: () => -1, errno: () => 24 });
    expect(publishStatus(full, encodeStatus(system))).toBeUndefined();
  });
});
