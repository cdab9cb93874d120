import { describe, expect, test } from "bun:test";
import { rangesBytes } from "../../../src/host/memory/huge-pages.ts";
import type { MemoryBackend } from "../../../src/launch/options.ts";
import { planUsualPages } from "../../../src/launch/plan/huge-pages.ts";
import { memorySource } from "../../../src/launch/plan/memory-source.ts";
import { excessWarning, planPagesOfAnySize } from "../../../src/launch/plan/page-supply.ts";
import type { System } from "../../../src/sys/system.ts";
import { sizeWithUnit } from "../../../src/sys/units.ts";
import { userErrorOf } from "../../support/error-of.ts";
import { counters, systemWith } from "../sys/fake-files.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const HUGE = 2 * MIB;
const NE_CPUS = "/sys/module/nitro_enclaves/parameters/ne_cpus";

/** One node. */
function small(giant: [number, number], huge: [number, number], more: Record<string, string | number> = {}) {
  return systemWith({
    "/sys/devices/system/node/online": "0",
    [NE_CPUS]: "1,3",
    ...counters(GIB, { free: giant[0], total: giant[1] }),
    ...counters(HUGE, { free: huge[0], total: huge[1] }),
    ...more,
  });
}

/** Two nodes, of which node 1 is the pool's: CPUs 24 and 72 are offline, their nodes' links remain. */
function twoNodes(node0: [number, number], node1: [number, number], reserved = 0): System {
  const [giant0, huge0] = node0;
  const [giant1, huge1] = node1;
  return systemWith({
    "/sys/devices/system/node/online": "0-1",
    [NE_CPUS]: "24,72",
    "/sys/devices/system/cpu/cpu24/node1/x": "",
    "/sys/devices/system/cpu/cpu72/node1/x": "",
    ...counters(GIB, { free: giant0 + giant1, total: 8 }),
    ...counters(GIB, { free: giant0, total: 4 }, 0),
    ...counters(GIB, { free: giant1, total: 4 }, 1),
    ...counters(HUGE, { free: huge0 + huge1, total: 2000, reserved }),
    ...counters(HUGE, { free: huge0, total: 1000 }, 0),
    ...counters(HUGE, { free: huge1, total: 1000 }, 1),
  });
}

const size = (bytes: number) => ({ bytes, typed: `-m ${bytes / MIB}` });
const plan = (system: System, bytes: number, backend?: Partial<MemoryBackend>) => {
  const { typed = "-object memory-backend-memfd,id=m", policy = "default", hostNodes = [] } = backend ?? {};
  const whole = { id: "m", typed, policy, hostNodes, pageBytes: backend?.pageBytes, threads: undefined };
  const used = backend === undefined ? undefined : whole;
  const source = memorySource(system, used);
  const demand = { size: size(bytes), backend: used, imageBytes: 1 };
  return planUsualPages(system, demand, source) ?? planPagesOfAnySize(system, demand, source);
};

describe("on one node", () => {
  test("huge pages: 1 GiB pages are used for each whole GiB, 2 MiB pages for the rest", () => {
    expect(plan(small([3, 4], [100, 100]), 2 * GIB + 64 * MIB)).toEqual({
      ...size(2 * GIB + 64 * MIB),
      ranges: [
        { pageBytes: GIB, pages: 2 },
        { pageBytes: HUGE, pages: 32 },
      ],
      node: undefined,
    });
  });

  test("huge pages: reserved pages are not counted", () => {
    const system = small([0, 0], [300, 300], { ...counters(HUGE, { free: 300, total: 300, reserved: 45 }) });
    expect(plan(system, 510 * MIB).ranges).toEqual([{ pageBytes: HUGE, pages: 255 }]);
    expect(userErrorOf(() => plan(system, 512 * MIB))).toEqual({
      what: "-m 512",
      why: "not enough huge pages: need 512 MiB, 510 MiB free (255 of 300 pages of 2 MiB)",
      hint: "nitro pool --memory 602, or echo 301 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages; or use -m 510M",
    });
  });

  test.each([
    ["all of a 1 GiB page", { [GIB]: 1 }, 512, [[GIB, 1]], 512],
    ["two of them rather than one and too few 2 MiB pages", { [GIB]: 2, [HUGE]: 10 }, 1536, [[GIB, 2]], 512],
    [
      "none if smaller ones suffice",
      { [GIB]: 2, [HUGE]: 256 },
      1536,
      [
        [GIB, 1],
        [HUGE, 256],
      ],
      0,
    ],
    [
      "a 32 MiB page rather than a 1 GiB page",
      { [GIB]: 1, [32 * MIB]: 5, [HUGE]: 0 },
      130,
      [[32 * MIB, 5]],
      30,
    ],
    ["a 1 GiB page where there are too few of 32 MiB", { [GIB]: 1, [32 * MIB]: 4 }, 130, [[GIB, 1]], 894],
    ["a 16 GiB page", { [16 * GIB]: 1, [512 * MIB]: 1 }, 1024, [[16 * GIB, 1]], 15_360],
  ] as const)("huge pages: too few small ones: a launch takes %s", (_, free, mib, expected, excess) => {
    const all = Object.entries({ [HUGE]: 0, ...free }).map(([pageBytes, pages]) =>
      counters(Number(pageBytes), { free: pages, total: pages }),
    );
    const system = systemWith(Object.assign({ [NE_CPUS]: "1" }, ...all));
    const planned = plan(system, mib * MIB);
    expect(planned.ranges).toEqual(expected.map(([pageBytes, pages]) => ({ pageBytes, pages })));
    expect([planned.bytes, rangesBytes(planned.ranges)]).toEqual([mib * MIB, (mib + excess) * MIB]);
    const warning = excessWarning(planned);
    if (excess === 0) expect(warning).toBeUndefined();
    else expect(warning).toEndWith(`, ${excess} MiB more than needed`);
  });

  test("huge pages: a requested page size is not replaced by a larger one", () => {
    const why = userErrorOf(() => plan(small([2, 2], [10, 10]), 512 * MIB, { pageBytes: HUGE })).why;
    expect(why).toBe("not enough huge pages: need 512 MiB, 20 MiB free (10 of 10 pages of 2 MiB)");
  });

  test.each([
    ["32 MiB", { [32 * MIB]: 16 }, 512, [[32 * MIB, 16]]],
    [
      "32 MiB and 2 MiB",
      { [32 * MIB]: 16, [HUGE]: 5 },
      522,
      [
        [32 * MIB, 16],
        [HUGE, 5],
      ],
    ],
    [
      "three sizes",
      { [GIB]: 1, [32 * MIB]: 3, [HUGE]: 5 },
      1124,
      [
        [GIB, 1],
        [32 * MIB, 3],
        [HUGE, 2],
      ],
    ],
    ["2 MiB alone if they suffice", { [32 * MIB]: 16, [HUGE]: 256 }, 512, [[HUGE, 256]]],
    ["512 MiB", { [16 * GIB]: 1, [512 * MIB]: 3 }, 1536, [[512 * MIB, 3]]],
    [
      "16 GiB",
      { [16 * GIB]: 1, [512 * MIB]: 3 },
      17_408,
      [
        [16 * GIB, 1],
        [512 * MIB, 2],
      ],
    ],
  ] as const)("huge pages: those of arm64 kernels are used, %s", (_, free, mib, expected) => {
    const all = Object.entries({ [HUGE]: 0, 65536: 1000, ...free }).map(([pageBytes, pages]) =>
      counters(Number(pageBytes), { free: pages, total: pages }),
    );
    const system = systemWith(Object.assign({ [NE_CPUS]: "1" }, ...all));
    expect(plan(system, mib * MIB).ranges).toEqual(
      expected.map(([pageBytes, pages]) => ({ pageBytes, pages })),
    );
    const tooMuch = userErrorOf(() => plan(system, 20 * GIB));
    expect(tooMuch.why).toContain(`of ${sizeWithUnit(expected[0][0])}`);
    expect(tooMuch.why).not.toContain("64 KiB");
  });

  test("huge pages: a launch of less than 1 GiB on 2 MiB pages reads two counters and no directory", () => {
    const system = small([4, 4], [300, 300]);
    const opened: string[] = [];
    const open = (path: string | Uint8Array, flags: number, mode: number) => {
      opened.push(new TextDecoder().decode(path as Uint8Array).replace(/\0$/, ""));
      return system.libc.open(path, flags, mode);
    };
    plan({ ...system, libc: { ...system.libc, open } as System["libc"] }, 512 * MIB);
    expect(opened.filter((path) => path.includes("hugepages"))).toEqual(
      ["free", "resv"].map((name) => `/sys/kernel/mm/hugepages/hugepages-2048kB/${name}_hugepages`),
    );
  });

  test("huge pages: pages that the kernel may allocate by overcommit are counted", () => {
    const directory = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    const overcommit = {
      [`${directory}/nr_overcommit_hugepages`]: 50,
      [`${directory}/surplus_hugepages`]: 10,
    };
    expect(plan(small([0, 0], [10, 10], overcommit), 100 * MIB).ranges).toEqual([
      { pageBytes: HUGE, pages: 50 },
    ]);
    expect(userErrorOf(() => plan(small([0, 0], [10, 10], overcommit), 102 * MIB)).why).toStartWith(
      "not enough huge pages: need 102 MiB, 20 MiB free",
    );
  });

  test("huge pages: unreadable counters do not prevent a launch", () => {
    expect(plan(systemWith({}), 2 * GIB)).toEqual({
      ...size(2 * GIB),
      ranges: [{ pageBytes: HUGE, pages: 1024 }],
      node: undefined,
    });
  });

  test("huge pages: a requested page size is the only one used", () => {
    expect(plan(small([2, 2], [1024, 1024]), 2 * GIB, { pageBytes: HUGE }).ranges).toEqual([
      { pageBytes: HUGE, pages: 1024 },
    ]);
    const failure = userErrorOf(() => plan(small([1, 2], [1024, 1024]), 2 * GIB, { pageBytes: GIB }));
    expect(failure.why).toBe("not enough huge pages: need 2048 MiB, 1024 MiB free (1 of 2 pages of 1 GiB)");
    expect(failure.hint).toBe(
      "echo 3 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages " +
        "(or at boot: hugepagesz=1G hugepages=N); or use size=1024M",
    );
  });

  test("huge pages: with one node, a policy for it has no effect, and one for another node is refused", () => {
    const system = small([0, 0], [64, 64]);
    expect(plan(system, 128 * MIB, { policy: "bind", hostNodes: [0] }).node).toBeUndefined();
    expect(userErrorOf(() => plan(system, 128 * MIB, { policy: "bind", hostNodes: [0, 1] })).why).toBe(
      "host-nodes: there is no NUMA node 1; this machine has node 0 only",
    );
  });
});

describe("on two nodes", () => {
  test("huge pages: only pages of the pool's node are used", () => {
    expect(plan(twoNodes([4, 1000], [1, 600]), 2 * GIB)).toEqual({
      ...size(2 * GIB),
      ranges: [
        { pageBytes: GIB, pages: 1 },
        { pageBytes: HUGE, pages: 512 },
      ],
      node: 1,
    });
  });

  test("huge pages: free pages are reported by size and node", () => {
    expect(userErrorOf(() => plan(twoNodes([4, 900], [1, 300]), 2 * GIB))).toEqual({
      what: "-m 2048",
      why:
        "not enough huge pages: need 2048 MiB, 1624 MiB free (1 of 4 pages of 1 GiB, 300 of 1000 pages of 2 MiB) on NUMA " +
        "node 1, where the CPU pool is; the driver does not accept pages of other nodes (4 of 4 pages of 1 GiB, " +
        "900 of 1000 pages of 2 MiB on node 0)",
      hint:
        "nitro pool --memory 6520, or echo 1212 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages; " +
        "or use -m 1624M",
    });
  });

  test("huge pages: reserved pages may be on any node", () => {
    expect(plan(twoNodes([0, 0], [0, 600], 88), GIB).ranges).toEqual([{ pageBytes: HUGE, pages: 512 }]);
    expect(userErrorOf(() => plan(twoNodes([0, 0], [0, 600], 89), GIB)).why).toContain(
      "need 1024 MiB, 1022 MiB free",
    );
  });

  test.each([
    ["bind", [1]],
    ["bind", [0, 1]],
    ["preferred", [1]],
    ["interleave", [1]],
    ["default", []],
  ] as const)("huge pages: policy %s of nodes %j gives pages of the pool's node", (policy, hostNodes) => {
    expect(plan(twoNodes([0, 600], [0, 600]), GIB, { policy, hostNodes }).node).toBe(1);
  });

  test.each([
    ["bind", [0], "host-nodes is 0"],
    ["preferred", [0], "host-nodes is 0"],
    ["preferred", [0, 1], "host-nodes is 0 and 1"],
    ["interleave", [0, 1], "interleave would put pages on node 0"],
    ["interleave", [0], "host-nodes is 0"],
  ] as const)("policy %s of nodes %j is refused", (policy, hostNodes, why) => {
    const failure = userErrorOf(() => plan(twoNodes([0, 600], [0, 600]), GIB, { policy, hostNodes }));
    expect(failure.what).toBe("-object memory-backend-memfd,id=m");
    expect(failure.why).toBe(
      `${why}, but the CPU pool is on NUMA node 1, and an enclave's memory must be there too`,
    );
    expect(failure.hint).toStartWith("use policy=bind,host-nodes=1, ");
  });

  test("huge pages: a node that does not exist is refused", () => {
    const backend = { policy: "bind", hostNodes: [2] } as const;
    expect(userErrorOf(() => plan(twoNodes([0, 600], [0, 600]), GIB, backend)).why).toBe(
      "host-nodes: there is no NUMA node 2; this machine has nodes 0, 1",
    );
  });

  test("huge pages: without a pool the pages of all nodes count, because any node may get the pool", () => {
    const system = systemWith({
      "/sys/devices/system/node/online": "0-1",
      [NE_CPUS]: "",
      ...counters(HUGE, { free: 64, total: 64 }),
    });
    expect(plan(system, 128 * MIB).node).toBeUndefined();
  });
});
