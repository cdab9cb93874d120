/** How an enclave exits by itself: the exit status and the message. */
import { afterAll, describe, expect, test } from "bun:test";
import type { EnclaveBehaviour } from "../../emulated-parent/scenario.ts";
import {
  CAUSE_UNKNOWN,
  exitLine,
  expectNothingLeft,
  LIVE_MS,
  launch,
  lines,
  NO_HEARTBEAT,
  notHere,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

interface Ending {
  name: string;
  production?: true;
  enclave: Partial<EnclaveBehaviour>;
  status: number;
  message: string;
}

// By then the console is connected and has been read.
const early = { heartbeatMs: null, liveMs: LIVE_MS };
const late = { heartbeatMs: 1, liveMs: LIVE_MS };
const none = CAUSE_UNKNOWN.debug;
const noBeat = `${NO_HEARTBEAT}; the console stayed empty`;

const ENDINGS: Ending[] = [
  { name: "after its heartbeat", enclave: late, status: 5, message: none },
  { name: "before its heartbeat", enclave: early, status: 3, message: noBeat },
  {
    name: "immediately after its start",
    enclave: { heartbeatMs: null, liveMs: 0 },
    status: 3,
    message: noBeat,
  },
  {
    name: "after its heartbeat in production mode",
    production: true,
    enclave: late,
    status: 5,
    message: CAUSE_UNKNOWN.production,
  },
  {
    name: "before its heartbeat in production mode",
    production: true,
    enclave: early,
    status: 3,
    message: NO_HEARTBEAT,
  },
  {
    name: "powered off",
    enclave: { ...late, console: ["[    1.2] reboot: Power down"] },
    status: 0,
    message: "powered off after TIME",
  },
  {
    name: "powered off before its heartbeat",
    enclave: { ...early, console: ["[    1.2] reboot: Power down"] },
    status: 0,
    message: "powered off after TIME",
  },
  {
    name: "by a reboot",
    enclave: { ...late, console: ["reboot: Restarting system"] },
    status: 5,
    message: none,
  },
  {
    name: "by a panic after its heartbeat",
    enclave: { ...late, console: ["[    1.2] Kernel panic - not syncing: Attempted to kill init!"] },
    status: 4,
    message: "crashed after TIME; its console says: Kernel panic - not syncing: Attempted to kill init!",
  },
  {
    name: "by a panic before its heartbeat",
    enclave: { ...early, console: ["Kernel panic - not syncing: VFS"] },
    status: 3,
    message:
      "exited TIME after start, without a heartbeat; its console says: Kernel panic - not syncing: VFS",
  },
  {
    name: "because its application failed",
    enclave: { ...late, console: ["child exited with error 7", "reboot: Restarting system"] },
    status: 4,
    message: "crashed after TIME; its console says: child exited with error 7",
  },
  {
    name: "because its application was killed",
    enclave: { ...late, console: ["child exited by signal 9"] },
    status: 4,
    message: "crashed after TIME; its console says: child exited by signal 9",
  },
  {
    name: "by a panic that stands at the end of a long console",
    enclave: { ...late, console: [...Array(200).fill("x".repeat(99)), "Kernel panic - not syncing: late"] },
    status: 4,
    message: "crashed after TIME; its console says: Kernel panic - not syncing: late",
  },
];

describe.concurrent.skipIf(notHere !== undefined)("exit status", () => {
  for (const { name, production, enclave, status, message } of ENDINGS) {
    test(`exit status: ${name} gives ${status}`, async () => {
      const command = production === undefined ? here.debug() : here.production();
      const result = await launch(command, { enclave });
      expect(lines(result.stderr).at(-1)).toMatch(exitLine(message));
      expect(result.status).toBe(status);
      expect(lines(result.stdout)).toEqual(production === undefined ? (enclave.console ?? []) : []);
      expectNothingLeft(result);
    });
  }

  test("exit message: quotes the console without control characters", async () => {
    const text = "Kernel panic - not syncing: \u001b[31mred\u0007";
    const result = await launch(here.debug(), { enclave: { ...late, console: [text] } });
    expect(lines(result.stderr).at(-1)).toEndWith("Kernel panic - not syncing: ?[31mred?");
    expect(result.stdout).toBe(`${text}\n`);
  });

  test("exit message: says that a wrong heartbeat was not answered", async () => {
    const result = await launch(here.debug(), { enclave: { heartbeatByte: 0x11, heartbeatMs: 1 } });
    expect(result.stderr).toContain("the enclave sent byte 0x11 instead of 0xb7; not answered");
    expect(result.status).toBe(3);
    expectNothingLeft(result);
  });
});
