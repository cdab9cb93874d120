/** Which cores and pages `nitro pool` decides on, on machines that differ. */
import { describe, expect, test } from "bun:test";
import { cpuListText, parseCpuList } from "../../../src/host/cpu/cpu-list.ts";
import { type Core, siblingsByPattern, type Topology } from "../../../src/host/cpu/topology.ts";
import { bytesOf, cpusOnNode, pageTargets, validateCpus } from "../../../src/pool/plan.ts";
import { userErrorOf } from "../../support/error-of.ts";

/** A regular machine: cores go round the nodes in blocks. */
function machine(
  nodeCount: number,
  coresPerNode: number,
  siblingsOf0: readonly number[],
  offline = "",
): Topology {
  const threads = siblingsOf0.length;
  const present = Array.from({ length: nodeCount * coresPerNode * threads }, (_, cpu) => cpu);
  const off = parseCpuList(offline) ?? [];
  const seen = new Set<number>();
  const cores = present.flatMap((cpu): Core[] => {
    if (seen.has(cpu)) return [];
    const cpus = siblingsByPattern(cpu, siblingsOf0);
    for (const each of cpus) seen.add(each);
    const number = Math.min(...cpus) / (siblingsOf0[1] === 1 ? threads : 1);
    return [{ cpus, node: Math.floor(number / coresPerNode), coreId: number % coresPerNode }];
  });
  const online = present.filter((cpu) => !off.includes(cpu));
  const nodes = Array.from({ length: nodeCount }, (_, node) => node);
  return { present, online, threadsPerCore: threads, cores, nodes, maxCores: present.length / threads };
}

const M5_XLARGE = machine(1, 2, [0, 2]);
const C6I_24XLARGE = machine(2, 24, [0, 48]);
const R6G_2XLARGE = machine(1, 8, [0]);
const FOUR_SOCKETS = machine(4, 28, [0, 112]);
const ADJACENT = machine(2, 4, [0, 1]);

describe("CPUs on a node", () => {
  test.each([
    ["m5.xlarge", M5_XLARGE, 2, 0, "", "1,3"],
    ["m5.xlarge, more than there are", M5_XLARGE, 4, 0, "", undefined],
    ["c6i.24xlarge, CPU 0's node", C6I_24XLARGE, 4, 0, "", "1-2,49-50"],
    ["c6i.24xlarge, the other node", C6I_24XLARGE, 48, 1, "", "24-47,72-95"],
    ["c6i.24xlarge, all of a node but CPU 0's core", C6I_24XLARGE, 48, 0, "", undefined],
    ["c6i.24xlarge, cores of the pool first", C6I_24XLARGE, 4, 0, "7,55", "1,7,49,55"],
    ["r6g.2xlarge", R6G_2XLARGE, 3, 0, "", "1-3"],
    ["four sockets", FOUR_SOCKETS, 6, 3, "", "84-86,196-198"],
    ["threads side by side", ADJACENT, 4, 0, "", "2-5"],
  ])("%s", (_, topology, more, node, pool, expected) => {
    const cpus = cpusOnNode(topology, { list: [], more }, node, parseCpuList(pool) ?? []);
    expect(cpus === undefined ? undefined : cpuListText(cpus)).toBe(expected);
  });

  test("that are offline count only where the pool has them", () => {
    const topology = machine(1, 4, [0, 4], "1,5,2");
    const choose = (pool: number[]) => cpusOnNode(topology, { list: [], more: 4 }, 0, pool);
    expect(choose([1, 5])).toEqual([1, 3, 5, 7]);
    expect(choose([])).toBeUndefined();
  });

  test("whose core number the driver has no place for are left out", () => {
    const [first, ...rest] = M5_XLARGE.cores;
    const odd = rest.map((core) => ({ ...core, coreId: 17 }));
    const topology = { ...M5_XLARGE, cores: first === undefined ? odd : [first, ...odd] };
    expect(cpusOnNode(topology, { list: [], more: 2 }, 0, [])).toBeUndefined();
  });

  test("named ones are kept, others join them on their node", () => {
    const want = { list: [30, 78], more: 2 };
    expect(cpusOnNode(C6I_24XLARGE, want, 0, [])).toBeUndefined();
    expect(cpusOnNode(C6I_24XLARGE, want, 1, [])).toEqual([24, 30, 72, 78]);
  });
});

describe("CPUs that no pool can have", () => {
  const refused = (topology: Topology, list: string, more = 0, pool = "") =>
    userErrorOf(() =>
      validateCpus(
        topology,
        { list: parseCpuList(list) ?? [], more, typed: "--x" },
        parseCpuList(pool) ?? [],
      ),
    );

  test.each([
    ["", 3, /whole cores, which have 2 threads/, "use --cpus 2 or --cpus 4"],
    ["", 1, /whole cores/, "use --cpus 2"],
    ["1", 0, /CPU 49 is missing/, "use --cpu-list 1,49"],
    ["0,48", 0, /CPU 0 and its core \(0,48\)/, "use --cpus 2"],
    ["1,48-49", 0, /CPU 0 and its core/, "use --cpu-list 1,49"],
    ["1,48", 0, /CPU 0 and its core/, "use --cpu-list 1,49"],
    ["1,24,49,72", 0, /NUMA nodes 0 and 1/, "use --cpu-list 1,49 or --cpu-list 24,72"],
    ["95-97", 0, /no CPU 96-97/, "its CPUs are 0-95"],
  ])("%j and %d more", (list, more, why, hint) => {
    const told = refused(C6I_24XLARGE, list, more);
    expect(told.why).toMatch(why);
    expect(told.hint).toBe(hint);
  });

  test("of cores that the driver has no place for", () => {
    const cores = M5_XLARGE.cores.map((core) => ({ ...core, coreId: core.cpus[0] === 1 ? 17 : 0 }));
    expect(refused({ ...M5_XLARGE, cores }, "1,3").why).toMatch(
      /a number below 2; that of CPU 1,3 is higher/,
    );
  });

  test("offline ones, unless they are the pool's", () => {
    const topology = machine(1, 4, [0, 4], "1,5");
    expect(refused(topology, "1,5").hint).toBe(
      "echo 1 > /sys/devices/system/cpu/cpu1/online && echo 1 > /sys/devices/system/cpu/cpu5/online",
    );
    expect(() => validateCpus(topology, { list: [1, 5], more: 0, typed: "" }, [1, 5])).not.toThrow();
  });
});

describe("huge pages", () => {
  const GIB = 2 ** 30;
  const MIB = 2 ** 20;
  const none = { giant: 0, huge: 0 };
  const ANY = Number.POSITIVE_INFINITY;

  test.each([
    ["512 MiB are of 2 MiB pages", [512 * MIB], none, ANY, { giant: 0, huge: 256 }],
    ["2.5 GiB: 1 GiB pages first", [2.5 * GIB], none, ANY, { giant: 2, huge: 256 }],
    ["an odd MiB is rounded up", [65 * MIB], none, ANY, { giant: 0, huge: 33 }],
    ["a kernel without 1 GiB pages", [2 * GIB], none, 0, { giant: 0, huge: 1024 }],
    ["one of three could be had", [3 * GIB], { giant: 1, huge: 0 }, 1, { giant: 1, huge: 1024 }],
    ["two enclaves that no 1 GiB page suits", [512 * MIB, 512 * MIB], none, ANY, { giant: 0, huge: 512 }],
    ["two enclaves", [1.5 * GIB, 1.5 * GIB], none, ANY, { giant: 2, huge: 512 }],
    ["enough of the other size stays", [2 * GIB], { giant: 0, huge: 1024 }, ANY, { giant: 0, huge: 1024 }],
    ["more is asked", [3 * GIB], { giant: 0, huge: 1024 }, ANY, { giant: 1, huge: 1024 }],
    ["less is asked", [1.5 * GIB], { giant: 3, huge: 7 }, ANY, { giant: 1, huge: 256 }],
    ["nothing is asked", [0], { giant: 3, huge: 7 }, ANY, none],
  ])("%s", (_, enclaves, have, mostGiant, expected) => {
    const target = pageTargets(enclaves, have, mostGiant);
    expect(target).toEqual(expected);
    // A second time, nothing changes.
    expect(pageTargets(enclaves, target, mostGiant)).toEqual(target);
    expect(bytesOf(target)).toBeGreaterThanOrEqual(enclaves.reduce((all, bytes) => all + bytes, 0));
  });
});
