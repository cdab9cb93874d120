/** The heartbeat on vsock port 9000: whose counts, who is answered, and how launchers share the port. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  entries,
  expectNothingLeft,
  LIVE_MS,
  launch,
  launchAs,
  lines,
  notHere,
  shellWords,
  Workplace,
} from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const BYTE = 0xb7;
const HELD = "nitro: vsock port 9000 is held by another launcher; waiting up to 30 s";

describe.concurrent.skipIf(notHere !== undefined)("a heartbeat", () => {
  test("of the enclave's own is answered and counted", async () => {
    const result = await launch(here.debug("-d", "vsock"), { enclave: { heartbeatMs: 1, liveMs: LIVE_MS } });
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(lines(result.stderr)).toContain("vsock: heartbeat: the enclave's own, from CID 16");
    expect(result.status).toBe(5);
  });

  test("of a stranger is answered, told and not counted", async () => {
    const strangers = [{ cid: 77, byte: BYTE, afterMs: 0 }];
    const result = await launch(here.debug(), { enclave: { strangers, heartbeatMs: null, liveMs: LIVE_MS } });
    expect(result.report.heartbeats).toEqual([{ cid: 77, byte: BYTE, outcome: "answered" }]);
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat: answered one from CID 77, which is not this enclave (CID 16); not counted",
    );
    expect(result.status).toBe(3);
  });

  test("of a stranger does not stand in the way of the enclave's own", async () => {
    const strangers = [{ cid: 77, byte: BYTE, afterMs: 0 }];
    const result = await launch(here.debug(), { enclave: { strangers, heartbeatMs: 200, liveMs: 600 } });
    expect(result.report.heartbeats).toEqual([
      { cid: 77, byte: BYTE, outcome: "answered" },
      { cid: 16, byte: BYTE, outcome: "answered" },
    ]);
    expect(result.status).toBe(5);
  });

  test("with a wrong byte is told and not answered, whoever sends it", async () => {
    const enclave = {
      strangers: [{ cid: 77, byte: 0x42, afterMs: 0 }],
      ...{ heartbeatByte: 0x11, noHeartbeatFatal: false, heartbeatMs: 60, liveMs: 400 },
    };
    const result = await launch(here.debug(), { enclave });
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat: CID 77 sent byte 0x42 in place of 0xb7; it is not answered",
    );
    expect(lines(result.stderr)).toContain(
      "nitro: heartbeat: the enclave sent byte 0x11 in place of 0xb7; it is not answered",
    );
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(["no answer", "no answer"]);
    expect(result.status).toBe(3);
    expectNothingLeft(result);
  });

  test("gets through twenty peers that say nothing", async () => {
    const enclave = { silentPeers: 20, heartbeatMs: 200, liveMs: 700 };
    const result = await launch(here.debug(), { enclave });
    const connected = entries(result, "silent peer connected").filter(({ ok }) => ok === true);
    expect(connected).toHaveLength(20);
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test("gets through more silent peers than are heard at a time", async () => {
    const enclave = { silentPeers: 100, heartbeatMs: 400, liveMs: 1200 };
    const result = await launch(here.debug(), { enclave });
    expect(result.report.heartbeats).toEqual([{ cid: 16, byte: BYTE, outcome: "answered" }]);
    expect(result.status).toBe(5);
  });

  test("that never comes makes the status 3", async () => {
    const enclave = { heartbeatMs: null, noHeartbeatFatal: false, liveMs: 80 };
    const result = await launch(here.debug(), { enclave });
    expect(lines(result.stderr).at(-1)).toBe("nitro: the enclave (CID 16) ended before its heartbeat");
    expect(result.status).toBe(3);
    expectNothingLeft(result);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("vsock port 9000", () => {
  test("is given back after the heartbeat: the next launcher need not wait for the enclave's end", async () => {
    const trace = here.path("first-trace");
    const first = shellWords(here.debug("-serial", "none", "-d", "vsock", "-D", trace));
    const second = shellWords(here.debug("-serial", "none"));
    const own = `grep -qs "the enclave's own" ${trace}`;
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

  test("is waited for while another launcher holds it", async () => {
    const command = shellWords(here.debug("-serial", "none"));
    const script = `${command} & ${command}; echo $?; wait $!; echo $?`;
    const result = await launch(["sh", "-c", script], {
      enclaves: [{ heartbeatMs: 1000, liveMs: 1500 }, { liveMs: LIVE_MS }],
      enclave: { heartbeatMs: 1 },
    });
    expect(result.stdout).toBe("5\n5\n");
    expect(lines(result.stderr).filter((line) => line === HELD)).toHaveLength(1);
    expect(result.report.heartbeats.map(({ outcome }) => outcome)).toEqual(["answered", "answered"]);
    expectNothingLeft(result);
  });

  test("that nobody gives back is waited for until a signal comes", async () => {
    const result = await launch(here.debug(), {
      takenPorts: [9000],
      signals: [{ at: "exit bind", nth: 3, signal: "SIGTERM" }],
    });
    expect(lines(result.stderr)).toEqual([HELD, "nitro: SIGTERM: stopped before the enclave was started"]);
    expect(result.status).toBe(0);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
    expectNothingLeft(result);
  });
});
