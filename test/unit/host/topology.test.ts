import { describe, expect, test } from "bun:test";
import { parseCpuList } from "../../../src/host/cpu/cpu-list.ts";
import { type Core, poolShapeOf, siblingsByPattern, type Topology } from "../../../src/host/cpu/topology.ts";

describe("siblings of an offline CPU", () => {
  test.each([
    [3, [0, 8], [3, 11]],
    [11, [0, 8], [3, 11]],
    [5, [0, 1], [4, 5]],
    // c6i.24xlarge: 96 CPUs, the second threads from 48 on.
    [95, [0, 48], [47, 95]],
    [7, [0], [7]],
    [6, [0, 1, 2, 3], [4, 5, 6, 7]],
  ])("siblings: CPU %d, with %j for CPU 0: %j", (cpu, siblings, expected) => {
    expect(siblingsByPattern(cpu, siblings)).toEqual(expected);
  });
});

/** Two nodes of two cores each: 0,4 and 1,5 on node 0, 2,6 and 3,7 on node 1. */
const cores: readonly Core[] = [0, 1, 2, 3].map((first) => ({
  cpus: [first, first + 4],
  node: first < 2 ? 0 : 1,
  coreId: first,
}));
const present = [0, 1, 2, 3, 4, 5, 6, 7];
const machine: Topology = { present, online: present, threadsPerCore: 2, cores, nodes: [0, 1], maxCores: 4 };

describe("pool shape", () => {
  test.each([
    ["2,6", { whole: 1, missing: [], absent: [], nodes: [1], hasCore0: false }],
    ["2-3,6-7", { whole: 2, missing: [], absent: [], nodes: [1], hasCore0: false }],
    ["1-2", { whole: 0, missing: [5, 6], absent: [], nodes: [0, 1], hasCore0: false }],
    ["4-5", { whole: 0, missing: [0, 1], absent: [], nodes: [0], hasCore0: true }],
    ["3,7-9", { whole: 1, missing: [], absent: [8, 9], nodes: [1], hasCore0: false }],
    ["", { whole: 0, missing: [], absent: [], nodes: [], hasCore0: false }],
  ])("pool shape: CPUs %j", (list, expected) => {
    const { cores: whole, ...rest } = poolShapeOf(machine, parseCpuList(list) ?? []);
    expect({ whole: whole.length, ...rest }).toEqual(expected);
  });
});
