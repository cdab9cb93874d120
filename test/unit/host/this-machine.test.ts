/** Reads the CPUs, NUMA nodes and huge pages of the machine that runs the tests. */
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
  test("topology: puts every present CPU into exactly one core, on one of the nodes", () => {
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

  test("nodes: finds CPU 0's node, and none for a CPU that does not exist", () => {
    const nodes = numaNodes(system);
    expect(nodes.length === 0 ? [0] : nodes).toContain(nodeOfCpu(system, 0, nodes) ?? -1);
    expect(nodeOfCpu(system, 9999, [0, 1])).toBeUndefined();
  });

  test.skipIf(!existsSync("/sys/kernel/mm/hugepages/hugepages-2048kB"))(
    "huge pages: counts them for the machine and for a node",
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
