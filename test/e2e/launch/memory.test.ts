/** The enclave's memory: its pages, their order, and the threads that allocate them. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import type { ScenarioInput } from "../../emulated-parent/scenario.ts";
import type { CheckJson } from "../check/broken-host.ts";
import { entries, expectNothingLeft, LIVE_MS, launchAs, lines, NITRO, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

// The emulated parent answers several calls for each page, and tests wait for each other as well.
setDefaultTimeout(600_000);
const launch = (command: readonly string[], scenario: ScenarioInput) =>
  launchAs({ command, scenario, limitSeconds: 240 });

const MIB = 2 ** 20;
const brief = { heartbeatMs: null, liveMs: LIVE_MS };

/** Returns an instance with 8 CPUs on one node. @param host the state of its free pages. */
function instance(host: NonNullable<ScenarioInput["host"]>, more: ScenarioInput = {}): ScenarioInput {
  return { topology: "m5.2xlarge", pool: "1,5", hugePages: 1536, enclave: brief, host, ...more };
}

/** Returns the arguments of a launch with this memory, allocated by this many threads. */
function args(memory: string, threads?: number): string[] {
  // Whether the heartbeat comes before the exit depends on how busy this machine is.
  const rest = here
    .debug()
    .slice(0, -2)
    .map((word) => (word.startsWith("nitro,") ? `${word},heartbeat=none` : word));
  if (threads === undefined) return [...rest, "-m", memory];
  const object = `memory-backend-memfd,id=m,size=${memory},prealloc-threads=${threads}`;
  return [...rest, "-object", object, "-machine", "memory-backend=m"];
}

const reportedRegions = (stderr: string) => Number(/ in (\d+) regions?[, ]/.exec(stderr)?.[1]);

describe.concurrent.skipIf(notHere !== undefined)("physical order", () => {
  // The hypervisor accepts only 4 regions; in the order of their allocation each of the 64 pages would be one.
  test.each([
    ["in reverse order", "descending", 0, 1],
    ["in runs of 24, the first of which comes last", "descending", 24, 3],
    ["in order", "ascending", 0, 1],
  ] as const)(
    "physical order: pages that come %s have the fewest regions",
    async (_, pageOrder, runPages, regions) => {
      const result = await launch(args("128M"), instance({ pageOrder, runPages }, { maxRegions: 4 }));
      expect(result.status).toBe(5);
      expect(reportedRegions(result.stderr)).toBe(regions);
      const [donation] = entries(result, "NE_SET_USER_MEMORY_REGION");
      expect(donation).toMatchObject({ bytes: 128 * MIB, imageComplete: true });
      expectNothingLeft(result);
    },
  );

  test("physical order: there are as many regions as runs; if these are too many, the message says so", async () => {
    const strewn = { pageOrder: "shuffled", seed: 3 } as const;
    const result = await launch(args("512M"), instance(strewn, { hugePages: 300 }));
    const regions = reportedRegions(result.stderr);
    expect(regions).toBeGreaterThan(2);
    expect(regions).toBeLessThan(100);
    const exact = await launch(args("512M"), instance(strewn, { hugePages: 300, maxRegions: regions }));
    expect(exact.status).toBe(5);
    const less = await launch(args("512M"), instance(strewn, { hugePages: 300, maxRegions: regions - 1 }));
    expect(less.status).toBe(1);
    expect(lines(less.stderr)[0]).toBe(
      "nitro: NE_SET_USER_MEMORY_REGION failed with NE_ERR_MEM_MAX_REGIONS (265): 256 huge pages of 2 MiB (-m 512M) " +
        `are fragmented into more regions than the driver accepts: ${regions} regions, even in physical order`,
    );
    expectNothingLeft(less);
  });

  test("physical order: a second launch has as few regions as the first", async () => {
    const command = args("128M")
      .map((word) => `'${word}'`)
      .join(" ");
    const result = await launch(["sh", "-c", `${command}; ${command}`], instance({}, { maxRegions: 1 }));
    expect(result.stderr.match(/memory 128M, 64 huge pages of 2 MiB in 1 region/g)).toHaveLength(2);
    expectNothingLeft(result);
  });

  test("physical order: pages of both sizes are donated separately", async () => {
    const host = { pageOrder: "descending" } as const;
    const mixed = instance(host, { hugePages: 64, hugePages1G: 3, maxRegions: 2 });
    const result = await launch(args("2176M"), mixed);
    expect(result.status).toBe(5);
    expect(result.stderr).toContain("memory 2176M, 2 huge pages of 1 GiB and 64 of 2 MiB in 2 regions");
    expect(entries(result, "NE_SET_USER_MEMORY_REGION").map(({ bytes }) => bytes)).toEqual([
      2048 * MIB,
      128 * MIB,
    ]);
    expectNothingLeft(result);
  });

  test("physical order: pages stay as they are if the order needs more mappings than a process may have", async () => {
    const files = { "/proc/sys/vm/max_map_count": "300\n" };
    const host = { pageOrder: "descending" } as const;
    const few = await launch(args("320M"), instance(host, { files, hugePages: 256 }));
    expect([few.status, reportedRegions(few.stderr)]).toEqual([5, 160]);
    // 144 of the 150 mappings that are left to it.
    const enough = await launch(args("288M"), instance(host, { files, hugePages: 256 }));
    expect([enough.status, reportedRegions(enough.stderr)]).toEqual([5, 1]);
    expectNothingLeft(enough);
  });

  test("physical order: pages stay as they are if physical addresses are hidden; the hint says who sees them", async () => {
    const program = here.path("nitro");
    copyFileSync(NITRO, program);
    chmodSync(program, 0o755);
    const scenario = instance({ pageOrder: "descending" }, { maxRegions: 4, deviceMode: "0666" });
    const command = [program, ...args("128M").slice(1)];
    const result = await launchAs({ command, scenario, user: "65534:65534", limitSeconds: 240 });
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(
      /265\): 64 huge pages of 2 MiB \(-m 128M\) are fragmented into more regions than the driver accepts\n/,
    );
    expect(result.stderr).toContain("as root (CAP_SYS_ADMIN) nitro maps them in physical order");
    const user = "65534:65534";
    const more = { ...scenario, maxRegions: 64 };
    const roomy = await launchAs({ command, scenario: more, user, limitSeconds: 240 });
    expect(roomy.stderr).toContain("memory 128M, 64 huge pages of 2 MiB");
    expectNothingLeft(roomy);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("huge pages of arm64 kernels", () => {
  /** A Graviton with these pages, in reverse order. */
  const graviton = (pages: Record<string, number>, more: NonNullable<ScenarioInput["host"]> = {}) => ({
    ...{ topology: "r6g.2xlarge", pool: "1-2", enclave: brief },
    host: { pageOrder: "descending" as const, nodes: [{ pages }], ...more },
  });
  const base64k = { hugePageSizes: ["2M", "512M", "16G"], defaultHugePage: "512M" };

  test.each([
    [
      "of 32 MiB, which Amazon's allocator makes",
      graviton({ "32M": 16 }),
      "512M",
      "16 huge pages of 32 MiB",
      [512],
    ],
    [
      "of 32 and 2 MiB",
      graviton({ "32M": 3, "2M": 9 }),
      "114M",
      "3 huge pages of 32 MiB and 9 of 2 MiB",
      [96, 18],
    ],
    [
      "of 1 GiB, 32 and 2 MiB",
      graviton({ "1G": 1, "32M": 2, "2M": 1 }),
      "1090M",
      "1 huge page of 1 GiB, 2 of 32 MiB and 1 of 2 MiB",
      [1024, 64, 2],
    ],
    [
      "of 512 MiB, with base pages of 64 KiB",
      graviton({ "512M": 2 }, base64k),
      "1G",
      "2 huge pages of 512 MiB",
      [1024],
    ],
  ])("huge pages: those %s are donated in physical order", async (_, scenario, memory, pages, donations) => {
    const result = await launch(args(memory), { ...scenario, maxRegions: donations.length });
    expect(result.stderr).toContain(
      `memory ${Number.parseInt(memory, 10) * (memory.endsWith("G") ? 1024 : 1)}M, ${pages} in ${donations.length} region`,
    );
    expect(result.status).toBe(5);
    expect(entries(result, "NE_SET_USER_MEMORY_REGION").map(({ bytes }) => Number(bytes) / MIB)).toEqual(
      donations,
    );
    expectNothingLeft(result);
  });

  test("huge pages: hugetlbsize=32M uses pages of 32 MiB only, allocated by several threads", async () => {
    const object = "memory-backend-memfd,id=m,size=256M,hugetlbsize=32M";
    const command = [...args("256M").slice(0, -2), "-object", object, "-machine", "memory-backend=m"];
    const scenario = graviton({ "32M": 8, "2M": 128 });
    const result = await launch([...command, "-d", "syscalls"], scenario);
    expect(result.stderr).toContain(
      'memfd_create("nitro-enclave", MFD_CLOEXEC|MFD_HUGETLB|25<<MFD_HUGE_SHIFT)',
    );
    expect(result.stderr).toContain("memory 256M, 8 huge pages of 32 MiB in 1 region");
    expect(result.stderr).toMatch(/^fallocate\(\[\d+ chunks\], [2-8] threads\) = 0$/m);
    expectNothingLeft(result);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("huge pages that are larger than needed", () => {
  test.each([
    ["-m 512M", { "1G": 1, "2M": 255 }, "1 huge page of 1 GiB is", 512, [1024]],
    ["", { "1G": 1 }, "1 huge page of 1 GiB is", 896, [1024]],
    ["-m 130M", { "32M": 6, "1G": 1 }, "5 huge pages of 32 MiB are", 30, [160]],
    ["-m 1100M", { "32M": 3, "1G": 1, "2M": 1 }, "1 huge page of 1 GiB and 3 of 32 MiB are", 20, [1024, 96]],
  ])(
    "huge pages: a launch with %j takes larger ones whole and says how much of them is not needed",
    async (memory, pages, what, excess, donations) => {
      const command = args("64M").slice(0, -2);
      const scenario = { topology: "r6g.2xlarge", pool: "1-2", enclave: brief, host: { nodes: [{ pages }] } };
      const options = memory === "" ? [] : memory.split(" ");
      const [result, check] = await Promise.all([
        launch([...command, ...options], scenario),
        launch([NITRO, "check", "-json", ...command.slice(1), ...options], scenario),
      ]);
      const typed = memory === "" ? "-m 128M (the default)" : memory;
      const warning = `${typed}: too few smaller huge pages are free, so ${what} donated whole, ${excess} MiB more than needed`;
      expect(lines(result.stderr)[0]).toBe(`nitro: warning: ${warning}`);
      expect(result.status).toBe(5);
      expect(entries(result, "NE_SET_USER_MEMORY_REGION").map(({ bytes }) => Number(bytes) / MIB)).toEqual(
        donations,
      );
      expectNothingLeft(result);
      const { findings } = JSON.parse(check.stdout) as CheckJson;
      const finding = findings.find(({ subject }) => subject === "pages");
      expect(finding).toMatchObject({ status: "warning", text: expect.stringContaining(warning) });
      expect(check.status).toBe(0);
    },
  );
});

describe.concurrent.skipIf(notHere !== undefined)("shortage of huge pages", () => {
  const start = instance({}, { hugePages: 64, hugePages1G: 2 });

  test.each([
    [
      "2178M",
      "not enough huge pages: need 2178 MiB, 2176 MiB free (2 of 2 pages of 1 GiB, 64 of 64 pages of 2 MiB)",
      "-m 2176M",
    ],
    [
      "4G",
      "not enough huge pages: need 4096 MiB, 2176 MiB free (2 of 2 pages of 1 GiB, 64 of 64 pages of 2 MiB)",
      "-m 2176M",
    ],
  ])(
    "shortage: for -m %s it is reported by size, with the sizes that would fit",
    async (memory, why, does) => {
      const result = await launch(args(memory), start);
      expect(result.status).toBe(1);
      expect(lines(result.stderr)[0]).toStartWith(`nitro: -m ${memory}: ${why}`);
      expect(result.stderr).toContain(`or use ${does}`);
      expect(entries(result, "NE_CREATE_VM")).toEqual([]);
      expectNothingLeft(result);
    },
  );

  test("shortage: it is reported by node, and pages of other nodes do not count", async () => {
    const topology = { instance: "m5.2xlarge", nodes: 2 };
    const result = await launch(args("256M"), {
      ...start,
      topology,
      pool: "2,6",
      hugePages1G: 0,
      hugePages: 200,
    });
    expect(lines(result.stderr)[0]).toStartWith(
      "nitro: -m 256M: not enough huge pages: need 256 MiB, 200 MiB free (100 of 100 pages of 2 MiB) on NUMA node 1, where the CPU pool " +
        "is; the driver does not accept pages of other nodes (100 of 100 pages of 2 MiB on node 0)",
    );
    expectNothingLeft(result);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("preallocation", () => {
  const threadsOf = (stderr: string) =>
    Number(/^fallocate\(\[\d+ chunks\], (\d+) threads\) = 0$/m.exec(stderr)?.[1] ?? 1);

  test.each([
    ["2G", undefined, 6],
    ["128M", undefined, 4],
    ["2G", 1, 1],
    ["256M", 2, 2],
  ])(
    "preallocation: %s with prealloc-threads=%p uses %d threads if six CPUs are left",
    async (memory, asked, threads) => {
      const result = await launch(
        [...args(memory, asked), "-d", "syscalls"],
        instance({ pageOrder: "descending" }),
      );
      expect(result.status).toBe(5);
      expect(threadsOf(result.stderr)).toBe(threads);
      expect(reportedRegions(result.stderr)).toBe(1);
      const [donation] = entries(result, "NE_SET_USER_MEMORY_REGION");
      expect(donation).toMatchObject({ imageComplete: true, regions: 1 });
      expectNothingLeft(result);
    },
  );

  test("preallocation: one thread is used if the pages cannot be put in order", async () => {
    const files = { "/proc/sys/vm/max_map_count": "1600\n" };
    const result = await launch([...args("2G"), "-d", "syscalls"], instance({}, { files }));
    expect([result.status, threadsOf(result.stderr), reportedRegions(result.stderr)]).toEqual([5, 1, 1]);
    expectNothingLeft(result);
  });

  test("preallocation: no thread is left in a launcher that becomes another user in a sandbox", async () => {
    const more = ["-run-with", "user=65534:65534", "-sandbox", "on"];
    const result = await launch([...args("256M", 3), ...more], instance({}));
    expect(result.status).toBe(5);
    expect(result.stderr).toContain("enclave started");
    expectNothingLeft(result);
  });

  test("preallocation: all threads allocate on the pool's node", async () => {
    const topology = { instance: "m5.2xlarge", nodes: 2 };
    const scenario = instance({ localNode: 0 }, { topology, pool: "2,6", hugePages: 512 });
    for (const threads of [undefined, 1, 4]) {
      const result = await launch(args("512M", threads), scenario);
      expect([result.status, result.stderr]).toEqual([5, expect.stringContaining(" on NUMA node 1, ")]);
      expectNothingLeft(result);
    }
  });

  test.each([1, 3])("preallocation: a shortage has the same message with %d threads", async (threads) => {
    const faults = [{ call: "fallocate", errno: "ENOSPC" }];
    const result = await launch(args("256M", threads), instance({}, { faults }));
    expect(result.status).toBe(1);
    expect(lines(result.stderr)[0]).toBe(
      `nitro: -object memory-backend-memfd,id=m,size=256M,prealloc-threads=${threads}: 128 huge pages of 2 MiB: ` +
        "enough huge pages are free, but they cannot be allocated (fallocate: No space left on device (ENOSPC)); a cgroup or a cpuset " +
        "limits this process",
    );
    expectNothingLeft(result);
  });

  test("preallocation: a thread repeats an interrupted allocation", async () => {
    const faults = [1, 2, 3].map((nth) => ({ call: "fallocate", errno: "EINTR", nth }));
    const result = await launch(args("256M", 2), instance({}, { faults }));
    expect(result.status).toBe(5);
    expectNothingLeft(result);
  });

  test.each([1, 3])("preallocation: a signal stops it while %d threads run", async (threads) => {
    const signals = [{ at: "enter fallocate", nth: 2, signal: "SIGTERM" }];
    const faults = [{ call: "fallocate", delayMs: 1000 }];
    const result = await launch(args("2G", threads), instance({}, { signals, faults }));
    expect([result.status, lines(result.stderr)]).toEqual([
      0,
      ["nitro: SIGTERM: stopped before the enclave was started"],
    ]);
    expect(entries(result, "NE_SET_USER_MEMORY_REGION")).toEqual([]);
    // Far below the 64 chunks of 32 MiB.
    expect(entries(result, "fallocate").length).toBeLessThan(32);
    expectNothingLeft(result);
  });

  test("preallocation: SIGKILL while threads run leaves nothing behind", async () => {
    const signals = [{ at: "enter fallocate", nth: 3, signal: "SIGKILL" }];
    const result = await launch(args("2G", 3), instance({}, { signals }));
    expect(result.signal).toBe("SIGKILL");
    expectNothingLeft(result);
  });
});
