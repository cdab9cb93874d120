/** CPUs of the parent that the user selects. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { entries, expectNothingLeft, LIVE_MS, launch, lines, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());
// Tests wait for each other as well.
setDefaultTimeout(600_000);

const brief = { enclave: { heartbeatMs: null, liveMs: LIVE_MS } };
/** 4 cores of 2 threads: CPU i and CPU i + 4 share one. */
const instance = { topology: "m5.2xlarge", pool: "1-3,5-7", hugePages: 128, ...brief };

/** The arguments of a launch with these properties of the accelerator. */
function args(accel: string, ...more: string[]): string[] {
  const [nitro = "", , , ...rest] = here.debug(...more);
  return [nitro, "-accel", `nitro,debug-mode=on,heartbeat=none,${accel}`, ...rest];
}

const added = (result: Awaited<ReturnType<typeof launch>>) =>
  entries(result, "NE_ADD_VCPU").map(({ cpu }) => cpu);

describe.concurrent.skipIf(notHere !== undefined)("cpu-ids", () => {
  test("cpu-ids: the enclave gets these CPUs in their order, without -smp", async () => {
    const result = await launch(args("cpu-ids=7,,3,cpu-ids=1,cpu-ids=5"), instance);
    expect(result.status).toBe(5);
    expect(added(result)).toEqual([7, 3, 1, 5]);
    expect(result.stderr).toContain("4 vCPUs (CPUs 7, 3, 1, 5)");
    expectNothingLeft(result);
  });

  test("cpu-ids: the other CPUs are left to a second launch", async () => {
    const [nitro = "", ...rest] = args("cpu-ids=2,,6,enclave-cid=77");
    const quoted = rest.map((word) => `'${word}'`).join(" ");
    const second = quoted.replace("cpu-ids=2,,6,enclave-cid=77", "cpu-ids=2,,6,enclave-cid=78");
    const live = { ...instance, enclave: { heartbeatMs: null } };
    // The second launch begins when the first one has reported its start.
    const started = "until grep -q started first; do sleep 0.05; done";
    const script = `${nitro} ${quoted} 2>first & ${started}; ${nitro} ${second}; kill $!; wait`;
    const result = await launch(["sh", "-c", `cd ${here.directory}; ${script}`], live);
    expect(lines(result.stderr)[0]).toBe(
      "nitro: NE_ADD_VCPU failed with NE_ERR_VCPU_NOT_IN_CPU_POOL (257): CPU 2 (cpu-ids) is not in the pool, " +
        "or its core is in use by another enclave; the CPU pool is 1-3,5-7",
    );
    expect(lines(result.stderr)[1]).toStartWith("hint: select another core with cpu-ids, or leave it out");
    expectNothingLeft(result);
  });

  const refused: [string, string, RegExp, RegExp][] = [
    [
      "half a core",
      "cpu-ids=1-2,,5",
      /cpu-ids=1-2,,5: .* whole cores, and CPU 6 is/,
      /use cpu-ids=1-2,,5-6$/,
    ],
    ["what is not in the pool", "cpu-ids=1-3,,5-8", /this machine has no CPU 8/, /cpu-ids=1-3,,5-7$/],
    ["CPU 0's core", "cpu-ids=4", /CPU 0's core \(CPUs 0,4\)/, /cpu-ids=1-3,,5-7$/],
  ];
  for (const [what, accel, message, hint] of refused) {
    test(`cpu-ids: refuses ${what} before the driver is called`, async () => {
      const result = await launch(args(accel), instance);
      expect(result.status).toBe(1);
      expect(lines(result.stderr)[0]).toMatch(message);
      expect(lines(result.stderr)[1]).toMatch(hint);
      expect(entries(result, "NE_CREATE_VM")).toEqual([]);
      expectNothingLeft(result);
    });
  }

  test("cpu-ids: CPUs outside the pool are refused; the hint has a pool that contains them", async () => {
    const result = await launch(args("cpu-ids=3,,7"), { ...instance, pool: "1,5" });
    expect(lines(result.stderr)).toEqual([
      "nitro: -accel cpu-ids=3,,7: CPUs 3,7 are not in the CPU pool, which is 1,5",
      "hint: the whole cores of the pool are cpu-ids=1,,5, or while no enclave runs: " +
        "nitro pool --cpu-list 1,3,5,7",
    ]);
    expect(entries(result, "NE_CREATE_VM")).toEqual([]);
  });

  test("cpu-ids: a monitor reports them", async () => {
    const asking =
      '{"execute":"qmp_capabilities"}{"execute":"qom-get","arguments":{"path":"/machine/accel","property":"cpu-ids"}}' +
      '{"execute":"query-cpus-fast"}{"execute":"quit"}';
    const command = args("cpu-ids=6,,2", "-serial", "null", "-qmp", "stdio")
      .map((word) => `'${word}'`)
      .join(" ");
    const script = `(sleep 1; printf %s '${asking}') | ${command}`;
    const result = await launch(["sh", "-c", script], { ...instance, enclave: { heartbeatMs: null } });
    expect(result.stdout).toContain('{"return": [6, 2]}');
    expect(result.stdout.match(/"host-cpu": \d/g)).toEqual(['"host-cpu": 6', '"host-cpu": 2']);
  });
});
