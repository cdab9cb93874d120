/** Huge pages of a described instance: node and physical order by policy, as system calls and donations see them. */

import { describe, expect, test } from "bun:test";
import { accessibleFile, accessibleScript } from "../support/accessible.ts";
import { type ParentResult, runInParent, whyNotHere } from "./run.ts";
import type { ScenarioInput } from "./scenario.ts";

const reason = whyNotHere();
const bun = accessibleFile(process.execPath);
const probe = accessibleScript(new URL("memory-probe.ts", import.meta.url).pathname);
const MIB = 1024 * 1024;

/** One step of the probe: a method of it and its arguments. */
type Step = [name: string, ...args: (number | string | boolean | number[])[]];

interface ProbeRun extends ParentResult {
  results: unknown[];
}

/** Two nodes, with 10 and 8 pages of 2 MiB and two of 1 GiB on the second, where the pool is. */
const twoNodes = {
  topology: "c6i.24xlarge",
  pool: "24-27,72-75",
  host: { nodes: [{ pages: { "2M": 10 } }, { pages: { "2M": 8, "1G": 2 } }] },
} satisfies ScenarioInput;

async function launch(steps: Step[], scenario: ScenarioInput = twoNodes): Promise<ProbeRun> {
  const command = [bun, probe, JSON.stringify(steps)];
  const run = await runInParent({ command, scenario, limitSeconds: 30 });
  return { ...run, results: JSON.parse(run.stdout || "[]") as unknown[] };
}

const counter = (name: string, node?: number): Step => {
  const place = node === undefined ? "/sys/kernel/mm" : `/sys/devices/system/node/node${node}`;
  return ["readFile", `${place}/hugepages/hugepages-2048kB/${name}_hugepages`];
};

const MPOL = { DEFAULT: 0, PREFERRED: 1, BIND: 2, INTERLEAVE: 3, LOCAL: 4 };
const F_NODE_ADDR = 3; // MPOL_F_NODE | MPOL_F_ADDR (linux/mempolicy.h)
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe.skipIf(reason !== undefined)(
  `huge pages on nodes${reason === undefined ? "" : ` (${reason})`}`,
  () => {
    test("huge pages: mmap reserves them, fallocate takes them, and exit frees them", async () => {
      const figures = [counter("free"), counter("resv"), counter("free", 0)];
      const steps: Step[] = [
        ["mapFile", 32],
        ...figures,
        ["allocate", 8],
        ...figures,
        ["mapFile", 6],
        ["closeFile", 0],
      ];
      const { results, report } = await launch([...steps, ["mapFile", 4], ...figures]);
      expect(results).toEqual([
        ...[0, "18\n", "16\n", "10\n", 0, "14\n", "12\n", "6\n", -12, 0, 0],
        ...["14\n", "14\n", "6\n"],
      ]);
      expect(report.hugePages).toEqual({ total: 18, free: 18, leaked: 0 });
    });

    test("huge pages: move_pages and get_mempolicy report touched pages only", async () => {
      const steps: Step[] = [
        ["mapFile", 8],
        ["nodes", 4],
        ["allocate", 8],
        ["nodes", 4],
        ["touch", 4],
        ["nodes", 4],
      ];
      const { results } = await launch([...steps, ["getPolicy", F_NODE_ADDR, 3], ["unmap", 8], ["nodes", 2]]);
      const absent = times(4, -2);
      expect(results).toEqual([0, absent, 0, absent, 0, [0, 0, -2, -2], [0], 0, [-14, -14]]);
    });

    test("thread policy: pages are bound, preferred, interleaved or local; an invalid policy is refused", async () => {
      const taken = (policy: Step): Step[] => [
        policy,
        ["mapFile", 12],
        ["populate", 12],
        ["nodes", 6],
        ["closeFile", 12],
      ];
      const nodes = async (policy: Step, scenario?: ScenarioInput): Promise<unknown> =>
        (await launch(taken(policy), scenario)).results[3];
      expect(await nodes(["policy", MPOL.BIND, [1]])).toEqual(times(6, 1));
      expect(await nodes(["policy", MPOL.PREFERRED, [1]])).toEqual(times(6, 1));
      expect(await nodes(["policy", MPOL.INTERLEAVE, [0, 1]])).toEqual([0, 1, 0, 1, 0, 1]);
      expect(await nodes(["policy", MPOL.DEFAULT])).toEqual(times(6, 0));
      expect(
        await nodes(["policy", MPOL.DEFAULT], { ...twoNodes, host: { ...twoNodes.host, localNode: 1 } }),
      ).toEqual(times(6, 1));
      const odd: Step[] = [
        ["policy", MPOL.BIND],
        ["policy", MPOL.BIND, [2]],
        ["policy", MPOL.BIND, [1, 2]],
        ["getPolicy", 0],
        ["getPolicy", 4],
        ["policy", MPOL.DEFAULT, [1]],
        ["policy", 99, [1]],
        ["policy", MPOL.DEFAULT],
        ["getPolicy", 0],
      ];
      expect((await launch(odd)).results).toEqual([-22, -22, 0, [2, 1], [0, 0, 1], -22, -22, 0, [0]]);
    });

    test("thread policy: a node with too few pages refuses bound memory; other memory comes from other nodes", async () => {
      const bound: Step[] = [
        ["mapFile", 24],
        ["policy", MPOL.BIND, [1]],
        ["allocate", 24],
        counter("free", 1),
        ["mapFile", 4],
      ];
      expect((await launch(bound)).results).toEqual([0, 0, -28, "0\n", -12]);
      const populated: Step[] = [
        ["mapFile", 24],
        ["policy", MPOL.BIND, [1]],
        ["populate", 24],
      ];
      expect((await launch(populated)).results).toEqual([0, 0, -14]);
      const preferred: Step[] = [
        ["policy", MPOL.PREFERRED, [1]],
        ["mapFile", 24],
        ["populate", 24],
        ["nodes", 12],
      ];
      expect((await launch(preferred)).results[3]).toEqual([...times(8, 1), ...times(4, 0)]);
    });

    test("range policy: applies to touches and not to fallocate; a new mapping has none", async () => {
      const steps: Step[] = [
        ["mapFile", 8],
        ["bind", 8, MPOL.BIND, [1]],
        ["populate", 4],
        ["allocate", 8],
        ["touch", 8],
        ["nodes", 4],
      ];
      expect((await launch(steps)).results.at(-1)).toEqual([1, 1, 0, 0]);
      const moves: Step[] = [
        ["bind", 8, MPOL.BIND, [1], 1],
        ["bind", 8, MPOL.BIND, [1], 2],
        ["nodes", 4],
        ["nodes", 2, [0, 1]],
        ["nodes", 2],
      ];
      const moved = await launch([["mapFile", 8], ["populate", 8], ...moves, counter("free", 0)]);
      expect(moved.results.slice(2)).toEqual([-5, 0, times(4, 1), [0, 1], [0, 1], "9\n"]);
      const again: Step[] = [
        ["mapFile", 8],
        ["bind", 8, MPOL.BIND, [1]],
        ["remap", [0, 1, 2, 3]],
        ["touch", 8],
        ["nodes", 4],
      ];
      expect((await launch(again)).results.at(-1)).toEqual(times(4, 0));
    });

    test("page map: shows frames to root only", async () => {
      const steps: Step[] = [
        ["mapFile", 8],
        ["populate", 6],
        ["frames", 4],
      ];
      const frames = (await launch(steps)).results[2] as string[];
      const numbers = frames.map((entry) => Number(entry.split(" ")[1]));
      const [first = 0] = numbers;
      expect(numbers).toEqual([first, first + 512, first + 1024, 0]);
      expect(frames.map((entry) => entry[0])).toEqual(["1", "1", "1", "0"]);
      const command = [bun, probe, JSON.stringify(steps)];
      const user = await runInParent({ command, scenario: twoNodes, user: "1000:1000", limitSeconds: 30 });
      expect(JSON.parse(user.stdout)).toEqual([0, 0, ["1 0", "1 0", "1 0", "0 0"]]);
    });

    test("page sizes: 1 GiB works; partial pages and unsupported sizes are refused", async () => {
      const giant: Step[] = [
        ["mapFile", 2048, 30],
        ["touch", 1024],
        ["nodes", 2],
        ["truncate", 3 * MIB],
      ];
      expect((await launch(giant)).results).toEqual([0, 0, [1, -2], -22]);
      expect((await launch([["mapFile", 64, 25]])).results).toEqual([-19]);
      const arm = { topology: "r6g.2xlarge", host: { nodes: [{ pages: { "32M": 2 } }] } };
      expect(
        (
          await launch(
            [
              ["mapFile", 64, 25],
              ["populate", 64],
              ["runs", 2],
            ],
            arm,
          )
        ).results,
      ).toEqual([0, 0, 1]);
    });

    test("page pool: freed pages are allocated again in reverse order, and holes are freed", async () => {
      const once: Step[] = [
        ["mapFile", 16],
        ["populate", 16],
        ["runs", 8],
      ];
      const again = await launch([...once, ["closeFile", 16], ...once]);
      expect([again.results[2], again.results.at(-1)]).toEqual([1, 8]);
      const holes: Step[] = [
        ["mapFile", 16],
        ["populate", 16],
        ["punch", 2, 3],
        counter("free"),
        ["truncate", 2 * MIB],
        counter("free"),
      ];
      expect((await launch(holes)).results.slice(2)).toEqual([0, "13\n", 0, "17\n"]);
    });

    test("control groups: limits and cpusets apply to huge pages", async () => {
      const path = "/box";
      const host = (limits: Record<string, string>) => ({
        ...twoNodes.host,
        cgroup: { path, limits: { [path]: limits } },
      });
      const promised = { ...twoNodes, host: host({ "hugetlb.2MB.rsvd.max": String(8 * MIB) }) };
      expect(
        (
          await launch(
            [
              ["mapFile", 10],
              ["mapFile", 8],
              ["mapFile", 2],
            ],
            promised,
          )
        ).results,
      ).toEqual([-12, 0, -12]);
      const used = { ...twoNodes, host: host({ "hugetlb.2MB.max": String(8 * MIB) }) };
      const file: Step = ["readFile", "/sys/fs/cgroup/box/hugetlb.2MB.current"];
      expect((await launch([["mapFile", 10], ["allocate", 10], file], used)).results).toEqual([
        0,
        -28,
        `${8 * MIB}\n`,
      ]);
      const nodes = { ...twoNodes, host: host({ "cpuset.mems": "1" }) };
      const steps: Step[] = [
        ["mapFile", 18],
        ["mapFile", 8],
        ["populate", 8],
        ["nodes", 4],
        ["policy", MPOL.BIND, [0]],
      ];
      expect((await launch(steps, nodes)).results).toEqual([-12, 0, 0, times(4, 1), -22]);
    });
  },
);

describe.skipIf(reason !== undefined)("donation on nodes", () => {
  const begun: Step[] = [["open"], ["create"]];

  test("donation: a page of another node is refused and leaked", async () => {
    const steps: Step[] = [
      ...begun,
      ["mapFile", 8],
      ["policy", MPOL.BIND, [1]],
      ["allocate", 4],
      ["policy", MPOL.BIND, [0]],
      ["allocate", 8],
      ["donateAll", 8],
      ["donateAll", 4],
    ];
    const run = await launch([...steps, ["closeFile", 8], ["close"], counter("free", 0)]);
    expect(run.results.slice(7)).toEqual([-264, 0, 0, 0, "9\n"]);
    expect(run.report.hugePages).toEqual({ total: 18, free: 17, leaked: 1 });
  });

  test("donation: untouched pages are allocated by the policy of the donor", async () => {
    const steps: Step[] = [
      ...begun,
      ["mapFile", 8],
      ["policy", MPOL.BIND, [1]],
      ["donateAll", 8],
      counter("free", 1),
    ];
    expect((await launch(steps)).results.slice(4)).toEqual([0, "4\n"]);
    expect((await launch([...begun, ["mapFile", 8], ["donateAll", 8]])).results.at(-1)).toBe(-264);
  });

  test("donation: a region is a run of pages that is contiguous physically and in the mapping", async () => {
    const regions = async (steps: Step[], more: ScenarioInput["host"] = {}): Promise<unknown[]> => {
      const scenario = { ...twoNodes, maxRegions: 6, host: { ...twoNodes.host, ...more } };
      const run = await launch(
        [...begun, ["policy", MPOL.BIND, [1]], ["mapFile", 16], ["allocate", 16], ...steps],
        scenario,
      );
      const entry = run.trace.find(({ what }) => what === "NE_SET_USER_MEMORY_REGION");
      return [entry?.["error"] ?? entry?.["regions"], ...run.results.slice(5)];
    };
    expect(await regions([["donateAll", 16]])).toEqual([1, 0]);
    expect(await regions([["donateAll", 16]], { runPages: 3 })).toEqual([3, 0]);
    expect(await regions([["donateAll", 16]], { pageOrder: "descending" })).toEqual([
      "NE_ERR_MEM_MAX_REGIONS",
      -265,
    ]);
    const reversed: Step = ["remap", [7, 6, 5, 4, 3, 2, 1, 0]];
    expect(await regions([reversed, ["donateAll", 16]], { pageOrder: "descending" })).toEqual([1, 0, 0]);
    expect(
      await regions([
        ["remap", [4, 5, 6, 7, 0, 1, 2, 3]],
        ["donateAll", 16],
      ]),
    ).toEqual([2, 0, 0]);
    expect(await regions([["donateAll", 16]], { pageOrder: "shuffled", seed: 7 })).toEqual(
      await regions([["donateAll", 16]], { pageOrder: "shuffled", seed: 7 }),
    );
  });

  test("CPU pool: cannot be written while an enclave exists", async () => {
    const write = "echo 1,49 >/sys/module/nitro_enclaves/parameters/ne_cpus || echo refused";
    const script = `${write}; rmmod nitro_enclaves || echo in use; cat /sys/devices/system/cpu/offline`;
    const { results } = await launch([...begun, ["shell", script], ["close"], ["shell", script]]);
    expect(results.slice(2)).toEqual(["refused\nin use\n24-27,72-75\n", 0, "\n"]);
  });

  test("vsock: a socket loads the family's module, but not the transport's", async () => {
    const modules = { vsock: "unloaded", vmw_vsock_virtio_transport: "unloaded" } as const;
    const steps: Step[] = [["localCid"], ["listen", 9000], ["localCid"]];
    expect((await launch(steps, { topology: "m5.xlarge", host: { modules } })).results).toEqual([
      -2, 0, 0xffffffff,
    ]);
    expect((await launch(steps, { topology: "m5.xlarge" })).results).toEqual([3, 0, 3]);
    const missing = { topology: "m5.xlarge", host: { modules: { vsock: "missing" as const } } };
    expect((await launch(steps, missing)).results).toEqual([-2, -97, -2]);
  });
});
