/** The machine that the tests run on, read as the parent's CPUs, nodes and pages are read. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { threadsPerCore } from "../../../src/host/cpu/cpus.ts";
import { nodeOfCpu, numaNodes } from "../../../src/host/cpu/nodes.ts";
import { readTopology } from "../../../src/host/cpu/topology.ts";
import { availablePages, hugePages } from "../../../src/host/memory/huge-pages.ts";
import { openSystem } from "../../../src/sys/system.ts";

const system = openSystem();

describe("this machine", () => {
  test("has each of its online CPUs in one core, on one of its nodes", () => {
    const { online, present, cores, nodes, threadsPerCore: threads, maxCores } = readTopology(system);
    expect(online).toHaveLength(cpus().length);
    expect(cores.flatMap((core) => core.cpus).sort((a, b) => a - b)).toEqual([...present]);
    for (const core of cores) {
      expect(core.cpus.length).toBeLessThanOrEqual(threads);
      expect(nodes.length === 0 ? [0] : nodes).toContain(core.node);
    }
    expect(threads).toBe(threadsPerCore(system));
    expect(maxCores).toBeGreaterThanOrEqual(Math.floor(present.length / threads));
  });

  test("has a node for CPU 0, and none for a CPU that there is not, unless it has but one node", () => {
    const nodes = numaNodes(system);
    expect(nodes.length === 0 ? [0] : nodes).toContain(nodeOfCpu(system, 0, nodes) ?? -1);
    expect(nodeOfCpu(system, 9999, [0, 1])).toBeUndefined();
  });

  test.skipIf(!existsSync("/sys/kernel/mm/hugepages/hugepages-2048kB"))(
    "counts its huge pages, all of them and by node",
    () => {
      const { total = -1, free = -1, reserved = -1, surplus = -1 } = hugePages(system, 2 ** 21);
      expect(Math.min(total, free, reserved, surplus)).toBeGreaterThanOrEqual(0);
      const [node] = numaNodes(system);
      const onNode = availablePages(system, 2 ** 21, node);
      expect(onNode).toBeLessThanOrEqual(availablePages(system, 2 ** 21) ?? -1);
      expect(availablePages(system, 3 * 4096)).toBeUndefined();
    },
  );
});
