/** The cores and huge pages that `nitro pool` chooses on various instance types. */
import { describe, expect, test } from "bun:test";
import { cpuListText, parseCpuList } from "../../../src/host/cpu/cpu-list.ts";
import { type Core, siblingsByPattern, type Topology } from "../../../src/host/cpu/topology.ts";
import { rangesBytes } from "../../../src/host/memory/huge-pages.ts";
import { planLargerPages } from "../../../src/launch/plan/page-supply.ts";
import { cpusOnNode, type PageCounts, pageTargets, validateCpus } from "../../../src/pool/plan.ts";
import { userErrorOf } from "../../support/error-of.ts";

/** A regular machine, with consecutive cores on each node. */
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

describe("choice of CPUs on a node", () => {
  test.each([
    ["m5.xlarge", M5_XLARGE, 2, 0, "", "1,3"],
    ["m5.xlarge, more than it has", M5_XLARGE, 4, 0, "", undefined],
    ["c6i.24xlarge, CPU 0's node", C6I_24XLARGE, 4, 0, "", "1-2,49-50"],
    ["c6i.24xlarge, the other node", C6I_24XLARGE, 48, 1, "", "24-47,72-95"],
    ["c6i.24xlarge, more than node 0 has without CPU 0's core", C6I_24XLARGE, 48, 0, "", undefined],
    ["c6i.24xlarge, cores of the present pool first", C6I_24XLARGE, 4, 0, "7,55", "1,7,49,55"],
    ["r6g.2xlarge", R6G_2XLARGE, 3, 0, "", "1-3"],
    ["four sockets", FOUR_SOCKETS, 6, 3, "", "84-86,196-198"],
    ["adjacent sibling threads", ADJACENT, 4, 0, "", "2-5"],
  ])("chosen CPUs: %s", (_, topology, more, node, pool, expected) => {
    const cpus = cpusOnNode(topology, { list: [], more }, node, parseCpuList(pool) ?? []);
    expect(cpus === undefined ? undefined : cpuListText(cpus)).toBe(expected);
  });

  test("chosen CPUs: uses an offline CPU only if it is in the present pool", () => {
    const topology = machine(1, 4, [0, 4], "1,5,2");
    const choose = (pool: number[]) => cpusOnNode(topology, { list: [], more: 4 }, 0, pool);
    expect(choose([1, 5])).toEqual([1, 3, 5, 7]);
    expect(choose([])).toBeUndefined();
  });

  test("chosen CPUs: skips cores whose id the driver rejects", () => {
    const [first, ...rest] = M5_XLARGE.cores;
    const odd = rest.map((core) => ({ ...core, coreId: 17 }));
    const topology = { ...M5_XLARGE, cores: first === undefined ? odd : [first, ...odd] };
    expect(cpusOnNode(topology, { list: [], more: 2 }, 0, [])).toBeUndefined();
  });

  test("chosen CPUs: keeps the listed CPUs and adds others of their node", () => {
    const want = { list: [30, 78], more: 2 };
    expect(cpusOnNode(C6I_24XLARGE, want, 0, [])).toBeUndefined();
    expect(cpusOnNode(C6I_24XLARGE, want, 1, [])).toEqual([24, 30, 72, 78]);
  });
});

describe("CPUs that the driver would reject", () => {
  const refused = (topology: Topology, list: string, more = 0, pool = "") =>
    userErrorOf(() =>
      validateCpus(
        topology,
        { list: parseCpuList(list) ?? [], more, typed: "--x" },
        parseCpuList(pool) ?? [],
      ),
    );

  test.each([
    ["", 3, /whole cores, and a core has 2 threads/, "use --cpus 2 or --cpus 4"],
    ["", 1, /whole cores/, "use --cpus 2"],
    ["1", 0, /CPU 49 is missing/, "use --cpu-list 1,49"],
    ["0,48", 0, /CPU 0's core \(0,48\) stays with the parent/, "use --cpus 2"],
    ["1,48-49", 0, /CPU 0's core/, "use --cpu-list 1,49"],
    ["1,48", 0, /CPU 0's core/, "use --cpu-list 1,49"],
    ["1,24,49,72", 0, /NUMA nodes 0 and 1/, "use --cpu-list 1,49 or --cpu-list 24,72"],
    ["95-97", 0, /no CPU 96-97/, "its CPUs are 0-95"],
  ])("rejected CPUs: %j and %d more", (list, more, why, hint) => {
    const error = refused(C6I_24XLARGE, list, more);
    expect(error.why).toMatch(why);
    expect(error.hint).toBe(hint);
  });

  test("rejected CPUs: those with core ids that are too high", () => {
    const cores = M5_XLARGE.cores.map((core) => ({ ...core, coreId: core.cpus[0] === 1 ? 17 : 0 }));
    expect(refused({ ...M5_XLARGE, cores }, "1,3").why).toMatch(
      /core ids below 2; that of CPU 1,3 is higher/,
    );
  });

  test("rejected CPUs: an offline CPU, unless it is in the present pool", () => {
    const topology = machine(1, 4, [0, 4], "1,5");
    expect(refused(topology, "1,5").hint).toBe(
      "echo 1 > /sys/devices/system/cpu/cpu1/online && echo 1 > /sys/devices/system/cpu/cpu5/online",
    );
    expect(() => validateCpus(topology, { list: [1, 5], more: 0, typed: "" }, [1, 5])).not.toThrow();
  });
});

describe("huge page counts", () => {
  const GIB = 2 ** 30;
  const MIB = 2 ** 20;
  const none = {};
  const ANY = Number.POSITIVE_INFINITY;
  const X86 = [GIB, 2 * MIB];
  const ARM64 = [GIB, 32 * MIB, 2 * MIB];
  const ARM64_64K = [16 * GIB, 512 * MIB, 2 * MIB];
  /** Largest first; the argument names sizes in MiB. */
  const counts = (pages: Record<string, number>): PageCounts =>
    Object.entries(pages)
      .map(([mib, count]) => ({ pageBytes: Number(mib) * MIB, pages: count }))
      .toSorted((a, b) => b.pageBytes - a.pageBytes);

  test.each([
    ["512 MiB: 2 MiB pages", [512 * MIB], X86, none, ANY, { 2: 256 }],
    [
      "2.5 GiB: 1 GiB of it and the fraction in 2 MiB pages",
      [2.5 * GIB],
      X86,
      none,
      ANY,
      { 1024: 1, 2: 768 },
    ],
    ["4 GiB: 1 GiB of it in 2 MiB pages", [4 * GIB], X86, none, ANY, { 1024: 3, 2: 512 }],
    ["1 GiB: 2 MiB pages", [GIB], X86, none, ANY, { 2: 512 }],
    ["4 GiB, 1 GiB pages exist: kept", [4 * GIB], X86, { 1024: 4 }, ANY, { 1024: 4 }],
    ["an odd number of MiB: rounded up", [65 * MIB], X86, none, ANY, { 2: 33 }],
    ["a kernel without 1 GiB pages", [2 * GIB], [2 * MIB], none, ANY, { 2: 1024 }],
    ["one of three 1 GiB pages is possible", [3 * GIB], X86, { 1024: 1 }, 1, { 1024: 1, 2: 1024 }],
    ["two enclaves below 1 GiB", [512 * MIB, 512 * MIB], X86, none, ANY, { 2: 512 }],
    ["two enclaves", [1.5 * GIB, 1.5 * GIB], X86, none, ANY, { 1024: 2, 2: 512 }],
    ["enough 2 MiB pages exist: kept", [2 * GIB], X86, { 2: 1024 }, ANY, { 2: 1024 }],
    ["more memory than before", [3 * GIB], X86, { 2: 1024 }, ANY, { 1024: 1, 2: 1024 }],
    ["less memory than before", [1.5 * GIB], X86, { 1024: 3, 2: 7 }, ANY, { 1024: 1, 2: 256 }],
    ["no memory", [0], X86, { 1024: 3, 2: 7 }, ANY, none],
    ["Graviton, nothing exists: no 32 MiB pages", [512 * MIB], ARM64, none, ANY, { 2: 256 }],
    ["Graviton, 32 MiB pages exist: kept", [512 * MIB], ARM64, { 32: 16 }, ANY, { 32: 16 }],
    ["Graviton, 32 MiB pages exist, too few", [514 * MIB], ARM64, { 32: 12 }, ANY, { 32: 12, 2: 65 }],
    ["Graviton, 32 MiB pages exist, too many", [100 * MIB], ARM64, { 32: 16, 2: 9 }, ANY, { 32: 3, 2: 2 }],
    ["Graviton, no memory: all sizes are released", [0], ARM64, { 1024: 1, 32: 16, 2: 9 }, ANY, none],
    ["64 KiB base pages: 512 MiB pages", [3000 * MIB], ARM64_64K, none, ANY, { 512: 3, 2: 732 }],
    [
      "64 KiB base pages: a 16 GiB page exists",
      [18 * GIB],
      ARM64_64K,
      { 16384: 1 },
      ANY,
      { 16384: 1, 512: 2, 2: 512 },
    ],
    [
      "64 KiB base pages: a 16 GiB page does not fit",
      [2 * GIB],
      ARM64_64K,
      { 16384: 1 },
      ANY,
      { 512: 2, 2: 512 },
    ],
  ] as const)("huge page counts: %s", (_, enclaves, sizes, have, maxLarge, expected) => {
    const target = pageTargets(enclaves, { sizes, have: counts(have), maxLarge });
    expect(target).toEqual(counts(expected));
    // A repeated request changes nothing.
    expect(pageTargets(enclaves, { sizes, have: target, maxLarge })).toEqual(target);
    expect(rangesBytes(target)).toBeGreaterThanOrEqual(enclaves.reduce((all, bytes) => all + bytes, 0));
  });

  /** Whether launches of these sizes, one after another, all find pages, and whether of exactly their sizes. */
  const served = (total: PageCounts, launches: readonly number[]): string[] => {
    const left = new Map(total.map(({ pageBytes, pages }) => [pageBytes, pages]));
    return launches.map((bytes) => {
      const supply = [...left].map(([pageBytes, pages]) => ({ pageBytes, pages }));
      const ranges = planLargerPages(bytes, supply) ?? [];
      for (const { pageBytes, pages } of ranges) left.set(pageBytes, (left.get(pageBytes) ?? 0) - pages);
      return rangesBytes(ranges) === bytes ? "exactly" : ranges.length > 0 ? "whole pages" : "not at all";
    });
  };
  const made = (...enclaves: number[]) => pageTargets(enclaves, { sizes: X86, have: [], maxLarge: ANY });

  test("huge page counts: a launch of any size up to the request finds pages of exactly its size", () => {
    for (const total of [512 * MIB, GIB, 1.5 * GIB, 2 * GIB, 4 * GIB, 4.25 * GIB, 64 * GIB]) {
      for (const bytes of [
        64 * MIB,
        128 * MIB,
        512 * MIB,
        1022 * MIB,
        1.5 * GIB,
        2046 * MIB,
        3 * GIB,
        total,
      ]) {
        if (bytes <= total)
          expect([total, bytes, served(made(total), [bytes])]).toEqual([total, bytes, ["exactly"]]);
      }
    }
  });

  test("huge page counts: launches of the sizes that were requested find pages of exactly them, in any order", () => {
    const sizes = [128 * MIB, 512 * MIB, 1022 * MIB, GIB, 1.5 * GIB, 1.75 * GIB, 4 * GIB];
    const four = sizes.flatMap((a) => sizes.flatMap((b) => sizes.map((c) => [a, b, c, 1022 * MIB])));
    for (const enclaves of four) {
      for (const order of [enclaves, enclaves.toReversed(), enclaves.toSorted((a, b) => a - b)]) {
        expect([order, new Set(served(made(...enclaves), order))]).toEqual([order, new Set(["exactly"])]);
      }
    }
  });

  test("huge page counts: when the 2 MiB pages are used, launches take whole 1 GiB pages", () => {
    expect(
      served(
        made(4 * GIB),
        [512, 512, 1536].map((mib) => mib * MIB),
      ),
    ).toEqual([...["exactly", "exactly", "whole pages"]]);
    expect(
      served(
        made(4 * GIB),
        [1000, 1000, 1000, 1000].map((mib) => mib * MIB),
      ),
    ).toEqual([...["exactly", "whole pages", "whole pages", "whole pages"]]);
  });
});
