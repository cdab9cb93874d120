/** The heartbeat on vsock port 9000: which one counts, which are answered, and when the port is released. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  CAUSE_UNKNOWN,
  entries,
  exitLine,
  expectNothingLeft,
  LIVE_MS,
  launch,
  launchAs,
  lines,
  NO_HEARTBEAT,
  notHere,
  shellWords,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const BYTE = 0xb7;
const HELD = "nitro: port 9000 is in use by another process; waiting for it, up to 30 s";

describe.concurrent.skipIf(notHere !== undefined)("heartbeat", () => {
  test("heartbeat: the enclave's is answered and counted", async () => {
    const result = await launch(here.debug("-d", "vsock"), { enclave: { heartbeatMs: 1, liveMs: LIVE_MS } });
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(lines(result.stderr)).toContain("vsock: heartbeat: received from the enclave, CID 16");
    expect(result.status).toBe(5);
  });

  test("heartbeat: another CID's is answered and reported, and does not count", async () => {
    const foreignHeartbeats = [{ cid: 77, byte: BYTE, afterMs: 0 }];
    const result = await launch(here.debug(), {
      enclave: { foreignHeartbeats, heartbeatMs: null, liveMs: LIVE_MS },
    });
    expect(result.report.heartbeats).toEqual([{ cid: 77, byte: BYTE, outcome: "answered" }]);
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat from CID 77 answered, but not counted: this enclave has CID 16",
    );
    expect(result.status).toBe(3);
  });

  test("heartbeat: another CID's does not prevent the enclave's own", async () => {
    const foreignHeartbeats = [{ cid: 77, byte: BYTE, afterMs: 0 }];
    const result = await launch(here.debug(), {
      enclave: { foreignHeartbeats, heartbeatMs: 200, liveMs: 600 },
    });
    expect(result.report.heartbeats).toEqual([
      { cid: 77, byte: BYTE, outcome: "answered" },
      { cid: 16, byte: BYTE, outcome: "answered" },
    ]);
    expect(result.status).toBe(5);
  });

  test("heartbeat: a wrong byte is reported and not answered, from any CID", async () => {
    const enclave = {
      foreignHeartbeats: [{ cid: 77, byte: 0x42, afterMs: 0 }],
      ...{ heartbeatByte: 0x11, noHeartbeatFatal: false, heartbeatMs: 60, liveMs: 400 },
    };
    const result = await launch(here.debug(), { enclave });
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat: CID 77 sent byte 0x42 instead of 0xb7; not answered",
    );
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat: the enclave sent byte 0x11 instead of 0xb7; not answered",
    );
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(["no answer", "no answer"]);
    expect(result.status).toBe(3);
    expectNothingLeft(result);
  });

  test("heartbeat: is received despite twenty silent connections", async () => {
    const enclave = { silentPeers: 20, heartbeatMs: 200, liveMs: 700 };
    const result = await launch(here.debug(), { enclave });
    const connected = entries(result, "silent peer connected").filter(({ ok }) => ok === true);
    expect(connected).toHaveLength(20);
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("heartbeat: is received despite more silent connections than are kept", async () => {
    const enclave = { silentPeers: 100, heartbeatMs: 400, liveMs: 1200 };
    const result = await launch(here.debug(), { enclave });
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(result.status).toBe(5);
  });

  test("heartbeat: a missing one gives status 3", async () => {
    const enclave = { heartbeatMs: null, noHeartbeatFatal: false, liveMs: 80 };
    const result = await launch(here.debug(), { enclave });
    expect(lines(result.stderr).at(-1)).toMatch(exitLine(`${NO_HEARTBEAT}; the console stayed empty`));
    expect(result.status).toBe(3);
    expectNothingLeft(result);
  });
});

/** The arguments of a launch in debug mode with these accelerator properties. */
function policy(properties: string): string[] {
  return here.debug().map((arg) => (arg === "nitro,debug-mode=on" ? `${arg},${properties}` : arg));
}

const REQUIRED =
  "nitro: no heartbeat within 1 s; stopping the enclave (heartbeat=require); hint: its init must send byte 0xb7 to " +
  "CID 3, port 9000, as AWS's init does once it is up; -accel nitro,debug-mode=on shows the console";
const STOPPED = "was stopped TIME after start, without a heartbeat";

describe.concurrent.skipIf(notHere !== undefined)("heartbeat option", () => {
  const silent = { heartbeatMs: null, console: ["no init here"] };

  test("heartbeat=require: stops the enclave after the time-out, with status 3", async () => {
    const result = await launch(policy("heartbeat=require,heartbeat-timeout=1"), { enclave: silent });
    const [, required, stopped, ...more] = lines(result.stderr);
    expect([required, more]).toEqual([REQUIRED, []]);
    expect(stopped).toMatch(exitLine(STOPPED));
    expect(lines(result.stdout)).toEqual(["no init here"]);
    expect(result.status).toBe(3);
    const [start, free] = ["NE_START_ENCLAVE", "slot freed"].map((what) => entries(result, what)[0]?.t ?? 0);
    expect((free ?? 0) - (start ?? 0)).toBeGreaterThanOrEqual(1000);
    expect(entries(result, "enclave exited")).toEqual([]);
    expectNothingLeft(result);
  });

  test("heartbeat=require with -no-shutdown: releases the enclave's resources and keeps running", async () => {
    const args = [...policy("heartbeat=require,heartbeat-timeout=1"), "-no-shutdown"];
    const scenario = { enclave: silent, signals: [{ afterMs: 2500, signal: "SIGTERM" }] };
    const result = await launch(args, scenario);
    const [, required, stopped, ...more] = lines(result.stderr);
    expect([required, more]).toEqual([REQUIRED, []]);
    expect(stopped).toMatch(exitLine(`${STOPPED}; nitro keeps running (-no-shutdown)`));
    expect(result.status).toBe(0);
    expectNothingLeft(result);
  });

  test("heartbeat=require: has no further effect once the heartbeat has come", async () => {
    const enclave = { heartbeatMs: 100, liveMs: 1600 };
    const result = await launch(policy("heartbeat=require,heartbeat-timeout=1"), { enclave });
    const [, exited, ...more] = lines(result.stderr);
    expect(exited).toMatch(exitLine(CAUSE_UNKNOWN.debug));
    expect(more).toEqual([]);
    expect(result.status).toBe(5);
  });

  test("heartbeat=auto: reports the time-out, and the enclave keeps running", async () => {
    const enclave = { ...silent, liveMs: 1600 };
    const result = await launch(policy("heartbeat=auto,heartbeat-timeout=1"), { enclave });
    expect(lines(result.stderr)[1]).toBe(
      "nitro: no heartbeat within 1 s; no longer waiting, the enclave keeps running",
    );
    expect(result.status).toBe(5);
  });

  test("heartbeat=none: uses no port, and the start message says so", async () => {
    const scenario = { takenPorts: [9000], enclave: { ...silent, liveMs: LIVE_MS } };
    const result = await launch(policy("heartbeat=none"), scenario);
    expect(lines(result.stderr)[0]).toEndWith(", debug mode, heartbeat=none");
    expect(entries(result, "bind")).toEqual([]);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("heartbeat time-out: starts with the enclave, also with -S", async () => {
    const args = policy("heartbeat=require,heartbeat-timeout=1");
    const paused = shellWords([...args, "-S", "-qmp", "stdio", "-serial", "none"]);
    const get = (property: string) =>
      JSON.stringify({ execute: "qom-get", arguments: { path: "/machine/accel", property } });
    const asked = ["qmp_capabilities", "cont"].map((execute) => JSON.stringify({ execute }));
    asked.splice(1, 0, get("heartbeat"), get("heartbeat-timeout"));
    const keys = `sleep 1.5; printf '%s\\n' ${shellWords(asked)}; sleep 3`;
    const result = await launch(["sh", "-c", `{ ${keys}; } | ${paused}`], { enclave: silent });
    expect(result.stdout).toContain('{"return": "require"}\r\n{"return": 1}\r\n');
    expect(result.stdout).toContain('"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-error"}');
    expect(lines(result.stderr)).toContain(REQUIRED);
    expect(result.status).toBe(3);
    const [start, free] = ["NE_START_ENCLAVE", "slot freed"].map((what) => entries(result, what)[0]?.t ?? 0);
    expect((free ?? 0) - (start ?? 0)).toBeGreaterThanOrEqual(1000);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("vsock port 9000", () => {
  test("port 9000: is released after the heartbeat, so the next launch does not wait for the enclave's exit", async () => {
    const trace = here.path("first-trace");
    const first = shellWords(here.debug("-serial", "none", "-d", "vsock", "-D", trace));
    const second = shellWords(here.debug("-serial", "none"));
    const own = `grep -qs "received from the enclave" ${trace}`;
    const script = `${first} & until ${own}; do sleep 0.02; done; ${second}; echo $?; kill $!; wait $!; echo $?`;
    const result = await launchAs({
      command: ["sh", "-c", script],
      scenario: { enclaves: [{}, { liveMs: LIVE_MS }], enclave: { heartbeatMs: 1 } },
    });
    expect(result.stdout).toBe("5\n0\n");
    expect(result.stderr).not.toContain(HELD);
    expect(entries(result, "NE_START_ENCLAVE").map(({ cid }) => cid)).toEqual([16, 17]);
    expect(entries(result, "enclave exited").map(({ cid }) => cid)).toEqual([17]);
    expectNothingLeft(result);
  });

  test("port 9000: is waited for while another process holds it, until a signal arrives", async () => {
    const result = await launch(here.debug(), {
      takenPorts: [9000],
      signals: [{ at: "exit bind", nth: 10, signal: "SIGTERM" }],
    });
    expect(lines(result.stderr)).toEqual([HELD, "nitro: SIGTERM: stopped before the enclave was started"]);
    expect(result.status).toBe(0);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
    expectNothingLeft(result);
  });
});
