/**
 * A signal at every step of a launch: a request ends it with status 0, SIGKILL kills it, and nothing is left behind.
 * SIGHUP is in hangup.test.ts.
 */
import { afterAll, describe, expect, test } from "bun:test";
import type { ScheduledSignal } from "../../emulated-parent/scenario.ts";
import { entries, expectNothingLeft, launch, lines, notHere, shellWords, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const REQUESTS = ["SIGTERM", "SIGINT", "SIGQUIT"] as const;

/** Returns a launch that makes the same number of calls on every machine: each of several threads would have a file. */
function byOneThread(): string {
  const object = "memory-backend-memfd,id=m,size=64M,prealloc-threads=1";
  return shellWords([...here.debug().slice(0, -2), "-object", object, "-machine", "memory-backend=m"]);
}

/** The trapped calls of a launch in order, and how often a launch makes each up to this step. */
const CALLS: { call: string; times: number }[] = [
  { call: "openat:/dev/nitro_enclaves", times: 1 },
  { call: "memfd_create", times: 1 },
  { call: "mmap", times: 1 },
  { call: "socket", times: 1 },
  { call: "bind:vsock", times: 1 },
  { call: "listen", times: 2 },
  { call: "NE_CREATE_VM", times: 1 },
  { call: "NE_GET_IMAGE_LOAD_INFO", times: 1 },
  { call: "fallocate", times: 1 },
  { call: "NE_SET_USER_MEMORY_REGION", times: 1 },
  { call: "NE_ADD_VCPU", times: 2 },
  { call: "NE_START_ENCLAVE", times: 1 },
  { call: "connect:vsock", times: 1 },
  { call: "accept4:vsock", times: 1 },
];
const AFTER_START = ["NE_START_ENCLAVE", "connect:vsock", "accept4:vsock"];

describe.concurrent.skipIf(notHere !== undefined)("stop signals", () => {
  for (const { call, times } of CALLS) {
    test(`stop signal: at ${call} the launcher exits with status 0`, async () => {
      // One parent instance and a launch for each signal and moment; every launch reaches this call.
      const shots = (["enter", "exit"] as const).flatMap((moment) =>
        REQUESTS.map((signal) => ({ moment, signal })),
      );
      const signals: ScheduledSignal[] = shots.map(({ moment, signal }, i) => ({
        at: `${moment} ${call}`,
        nth: times * i + 1,
        signal,
      }));
      const script = `for i in 1 2 3 4 5 6; do echo "launch $i" >&2; ${byOneThread()}; echo "status $?" >&2; done`;
      const result = await launch(["sh", "-c", script], { signals, checkWrites: false });
      expect(entries(result, "signal sent")).toHaveLength(6);
      const blocks = result.stderr.split(/^launch \d\n/m).slice(1);
      expect(blocks).toHaveLength(6);
      blocks.forEach((block, i) => {
        const { signal } = shots[i] ?? { signal: "" };
        const all = lines(block);
        expect(all.at(-1)).toBe("status 0");
        expect(all.at(-2)).toStartWith(`nitro: ${signal}: stop`);
        if (AFTER_START.includes(call)) expect(all.at(-2)).toBe(`nitro: ${signal}: stopping the enclave`);
        expect(all).toHaveLength(AFTER_START.includes(call) ? 3 : 2);
      });
      expectNothingLeft(result);
    });
  }

  for (const signal of REQUESTS) {
    test(`${signal}: stops a running enclave`, async () => {
      const scenario = { enclave: { console: ["up"] }, signals: [{ afterMs: 150, signal }] };
      const result = await launch(here.debug(), scenario);
      expect(result.stdout).toBe("up\n");
      expect(lines(result.stderr).at(-1)).toBe(`nitro: ${signal}: stopping the enclave`);
      expect(result.status).toBe(0);
      expect(entries(result, "slot freed")[0]).toMatchObject({ wasRunning: true });
      expectNothingLeft(result);
    });
  }

  test("stop signal: two different signals count once", async () => {
    const signals = [
      { at: "exit NE_CREATE_VM", signal: "SIGTERM" },
      { at: "exit NE_CREATE_VM", signal: "SIGTERM" },
      { at: "exit NE_CREATE_VM", signal: "SIGINT" },
    ];
    const result = await launch(here.debug(), { signals });
    expect(lines(result.stderr)).toHaveLength(1);
    expect(result.status).toBe(0);
    expectNothingLeft(result);
  });

  test("stop signal: the pid file is removed", async () => {
    const path = here.path("pid");
    const scenario = { signals: [{ afterMs: 50, signal: "SIGTERM" }] };
    const result = await launch(here.debug("-pidfile", path), scenario);
    expect(result.status).toBe(0);
    expect(await Bun.file(path).exists()).toBe(false);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("SIGKILL", () => {
  const calls = CALLS.filter(({ call }) => call !== "socket"); // some launches make it twice, others once

  async function expectAllKilled(signals: readonly Omit<ScheduledSignal, "signal">[]): Promise<void> {
    const count = signals.length;
    const script = `i=0; while [ $i -lt ${count} ]; do ${byOneThread()}; echo $?; i=$((i + 1)); done`;
    const result = await launch(["sh", "-c", script], {
      signals: signals.map((shot) => ({ ...shot, signal: "SIGKILL" })),
      checkWrites: false,
    });
    expect(entries(result, "signal sent")).toHaveLength(count);
    expect(lines(result.stdout)).toEqual(Array(count).fill("137"));
    expectNothingLeft(result);
  }

  test("SIGKILL: before each step it leaves no enclave, no page and no process", async () => {
    // Each launch is killed one call later than the one before, so it is the first to reach its call.
    await expectAllKilled(calls.map(({ call }) => ({ at: `enter ${call}` })));
  });

  test("SIGKILL: after each step it leaves no enclave, no page and no process", async () => {
    // From the last call to the first: before the signal takes effect, a launch may reach calls that were tested already.
    const backwards = calls.toReversed();
    await expectAllKilled(
      backwards.map(({ call, times }, i) => ({ at: `exit ${call}`, nth: times * i + 1 })),
    );
  });

  test("SIGKILL: while the enclave runs it releases everything", async () => {
    const scenario = { enclave: { console: ["up"] }, signals: [{ afterMs: 100, signal: "SIGKILL" }] };
    const result = await launch(here.debug(), scenario);
    expect(result.signal).toBe("SIGKILL");
    expect(entries(result, "slot freed")[0]).toMatchObject({ wasRunning: true });
    expectNothingLeft(result);
  });
});
