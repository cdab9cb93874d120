/** `nitro pool` on various instance types: whole cores of one node, its huge pages, and launches that use them. */
import { afterAll, describe, expect, test } from "bun:test";
import { expectNothingLeft, LIVE_MS, lines, shellWords, Workplace } from "../launch/nitro.ts";
import { GIANT, HUGE, NODE, notHere, POOL, printed, shell } from "./instance.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** Every node has huge pages already, so that a launch could use those of a wrong node. */
function existingPages(nodes: number): { nodes: { pages: Record<string, number> }[] } {
  return { nodes: Array.from({ length: nodes }, () => ({ pages: { "2M": 40 } })) };
}

interface Machine {
  readonly topology: string;
  readonly nodes: number;
  /** The arguments of nitro pool, then the resulting pool. */
  readonly args: string;
  readonly pool: string;
  readonly node: number;
  readonly vcpus: readonly number[];
  /** The CPUs of a launch without -smp: a whole core. */
  readonly launchCpus: readonly number[];
}

const MACHINES: readonly Machine[] = [
  {
    ...{ topology: "m5.xlarge", nodes: 1, args: "--cpus 2 --memory 128" },
    ...{ pool: "1,3", node: 0, vcpus: [1, 3], launchCpus: [1, 3] },
  },
  {
    ...{ topology: "c6i.24xlarge", nodes: 2, args: "--cpus 4 --memory 128" },
    ...{ pool: "1-2,49-50", node: 0, vcpus: [1, 2, 49, 50], launchCpus: [1, 49] },
  },
  {
    ...{ topology: "c6i.24xlarge", nodes: 2, args: "--cpus 48 --memory 128" }, // more than node 0 has
    ...{ pool: "24-47,72-95", node: 1, vcpus: [], launchCpus: [24, 72] },
  },
  {
    ...{ topology: "r6g.2xlarge", nodes: 1, args: "--cpus 3 --memory 128" },
    ...{ pool: "1-3", node: 0, vcpus: [1, 2, 3], launchCpus: [1] },
  },
  {
    ...{ topology: "u-3tb1.56xlarge", nodes: 4, args: "--cpus 6 --memory 128 --node 2" },
    ...{ pool: "56-58,168-170", node: 2, vcpus: [56, 57, 58, 168, 169, 170], launchCpus: [56, 168] },
  },
  {
    ...{ topology: "u-3tb1.56xlarge", nodes: 4, args: "--cpu-list 84,196 --memory 128" },
    ...{ pool: "84,196", node: 3, vcpus: [84, 196], launchCpus: [84, 196] },
  },
];

describe.skipIf(notHere !== undefined)("nitro pool by topology", () => {
  for (const machine of MACHINES) {
    const { topology, nodes, args, pool, node, launchCpus } = machine;

    test(`${topology}: nitro pool ${args} takes whole cores of node ${node}, and a launch uses its pages`, async () => {
      const launch = shellWords(here.production());
      const frees = `for n in ${NODE}/node[0-9]*; do cat $n/${HUGE}/free_hugepages; done | paste -s -d ' '`;
      const script = [
        `nitro pool ${args} >said; cat ${POOL}; ${frees}`,
        `${launch} 2>errors & until grep -q started errors; do sleep 0.02; done; ${frees}`,
        "kill $!; wait $!; echo $?; cat errors >&2; rm -f said errors",
      ].join("\n");
      const scenario = { topology, host: existingPages(nodes), enclave: { heartbeatMs: null } };
      const result = await shell(script, scenario, { cwd: here.directory });
      const others = Array.from({ length: nodes }, () => 40);
      const [cpus, before, running, status] = lines(result.stdout);
      expect(cpus).toBe(pool);
      expect(before).toBe(others.with(node, 64).join(" "));
      // 64 MiB are 32 pages, and all of them are the node's.
      expect(running).toBe(others.with(node, 32).join(" "));
      expect(status).toBe("0");
      const started = result.trace.find(({ what }) => what === "NE_START_ENCLAVE");
      expect(started?.["vcpus"]).toEqual(launchCpus as number[]);
      const where = nodes > 1 ? ` on NUMA node ${node}` : "";
      const messages = result.stderr.replace(/ in \d+ regions?(?=[, ])/, "");
      expect(messages).toContain(` memory 64M, 32 huge pages of 2 MiB${where}, production mode`);
      expect(result.report).toMatchObject({ slotsLeft: 0, hugePages: { leaked: 0 } });
      expectNothingLeft(result, result.report.hugePages.total - result.report.hugePages.free);
    });
  }

  test("nitro pool: reports what it changed, that a second run changed nothing, and what it released", async () => {
    const topology = "c6i.24xlarge";
    const script = [
      "with_status nitro pool --cpus 2 --memory 2560; with_status nitro pool --cpus 2 --memory 2560; state",
      "with_status nitro pool status; with_status nitro pool release; with_status nitro pool status; state; with_status nitro pool release",
    ].join("\n");
    expect(await printed(script, { topology })).toEqual([
      "pool: CPUs 1,49 (1 core) on NUMA node 0",
      "memory: 2.5 GiB, 1 huge page of 1 GiB and 768 of 2 MiB on NUMA node 0",
      "status 0",
      "pool: CPUs 1,49 (1 core) on NUMA node 0, unchanged",
      "memory: 2.5 GiB, 1 huge page of 1 GiB and 768 of 2 MiB on NUMA node 0, unchanged",
      "status 0",
      "pool 1,49 online 0,2-48,50-95",
      "node0 1 768 768",
      "node1 0 0 0",
      "pool: CPUs 1,49 (1 core) on NUMA node 0",
      "memory: 1 huge page of 1 GiB on NUMA node 0, 1 free",
      "memory: 768 huge pages of 2 MiB on NUMA node 0, 768 free",
      "available to enclaves: 2.5 GiB on NUMA node 0",
      "status 0",
      "released CPUs 1,49 to the parent",
      "freed 1 huge page of 1 GiB and 768 of 2 MiB",
      "status 0",
      "pool: empty",
      "memory: no huge pages",
      "status 0",
      "pool  online 0-95",
      "node0 0 0 0",
      "node1 0 0 0",
      "nothing to release: the CPU pool is empty; huge pages are kept, as they may be for other programs; " +
        "free them: nitro pool --node N --memory 0",
      "status 0",
    ]);
  });

  test("nitro pool on Graviton: a single CPU is a core", async () => {
    const script = "nitro pool --cpus 1 --memory 64; nitro pool --cpus 2; nitro pool status";
    expect(await printed(script, { topology: "r6g.2xlarge" })).toEqual([
      "pool: CPUs 1 (1 core)",
      "memory: 64 MiB, 32 huge pages of 2 MiB",
      "pool: CPUs 1-2 (2 cores)",
      "memory: 64 MiB, 32 huge pages of 2 MiB, unchanged",
      "pool: CPUs 1-2 (2 cores)",
      "memory: 32 huge pages of 2 MiB, 32 free",
      "available to enclaves: 64 MiB",
    ]);
  });

  test("nitro pool: on another node than before, reports the pages left on the first, and how to free them", async () => {
    const script = [
      "nitro pool --node 0 --cpus 2 --memory 128; nitro pool --node 1 --cpus 2 --memory 64",
      "nitro pool --node 0 --memory 0; state",
    ].join("\n");
    expect((await printed(script, { topology: "c6i.24xlarge" })).slice(2)).toEqual([
      "pool: CPUs 24,72 (1 core) on NUMA node 1",
      "memory: 64 MiB, 32 huge pages of 2 MiB on NUMA node 1",
      "unused: 64 huge pages of 2 MiB on NUMA node 0, which this pool's enclaves cannot use; " +
        "free them: nitro pool --node 0 --memory 0",
      "pool: CPUs 24,72 (1 core) on NUMA node 1, unchanged",
      "memory: 0 MiB, no huge pages on NUMA node 0",
      "pool 24,72 online 0-23,25-71,73-95",
      "node0 0 0 0",
      "node1 0 32 32",
    ]);
  });

  test("nitro pool: uses the node with enough memory", async () => {
    const host = { nodes: [{ freeMiB: 100 }] };
    const script = "nitro pool --cpus 2 --memory 512; state";
    expect((await printed(script, { topology: "c6i.24xlarge", host })).slice(-3)).toEqual([
      "pool 24,72 online 0-23,25-71,73-95",
      "node0 0 0 0",
      "node1 0 256 256",
    ]);
  });

  test("nitro pool: tries the next node if memory is fragmented, and leaves nothing on the first", async () => {
    const host = { nodes: [{ pages: { "2M": { total: 0, obtainable: 10 } } }] };
    const script = "nitro pool --cpus 2 --memory 512; state";
    expect((await printed(script, { topology: "c6i.24xlarge", host })).slice(-3)).toEqual([
      "pool 24,72 online 0-23,25-71,73-95",
      "node0 0 0 0",
      "node1 0 256 256",
    ]);
  });
});

describe.skipIf(notHere !== undefined)("huge pages of nitro pool", () => {
  const topology = "m5.2xlarge";
  /** Returns the number of 1 GiB and of 2 MiB pages after the commands. */
  const pages = async (node: object, ...commands: string[]) => {
    const script = `${commands.map((args) => `nitro pool ${args} >/dev/null`).join("; ")}; state`;
    const all = await printed(script, { topology, host: { nodes: [node] } });
    return all.at(-1)?.replace(/ \d+$/, "");
  };

  test("huge pages: 1 GiB of the memory is in 2 MiB pages, the rest in 1 GiB pages, as many as fit", async () => {
    expect(await pages({}, "--cpus 2 --memory 5G")).toBe("node0 4 512");
    expect(await pages({}, "--cpus 2 --memory 5121")).toBe("node0 4 513");
    expect(await pages({}, "--cpus 2 --memory 1G")).toBe("node0 0 512");
    expect(await pages({}, "--cpus 2 --memory 1536 --memory 1536")).toBe("node0 2 512");
    expect(await pages({ pages: { "1G": { obtainable: 2 } } }, "--cpus 2 --memory 5G")).toBe("node0 2 1536");
    expect(await pages({ pages: { "1G": { obtainable: 0 } } }, "--cpus 2 --memory 2G")).toBe("node0 0 1024");
  });

  test("huge pages: existing ones are kept, whatever their size", async () => {
    expect(await pages({ pages: { "2M": 1024 } }, "--cpus 2 --memory 2G")).toBe("node0 0 1024");
    expect(await pages({ pages: { "2M": 512, "1G": 1 } }, "--cpus 2 --memory 3G")).toBe("node0 2 512");
    expect(await pages({ pages: { "1G": 3 } }, "--cpus 2 --memory 1G")).toBe("node0 1 0");
  });

  test("huge pages: 32 MiB pages count, are kept where they fit, and are released", async () => {
    // As Amazon's allocator leaves a Graviton with its default file, allocator.yaml: memory_mib: 512.
    const graviton = {
      topology: "r6g.2xlarge",
      pool: "1-2",
      host: { nodes: [{ pages: { "32M": 16, "64K": 7 } }] },
    };
    const of32M = `${NODE}/node0/hugepages/hugepages-32768kB/nr_hugepages`;
    const script = [
      "nitro pool status; nitro pool --cpus 2 --memory 512; nitro pool --memory 514; nitro pool --memory 100",
      `state; cat ${of32M}; nitro pool status --json; nitro pool --memory 64 --json | grep -A4 hugePages`,
      `nitro pool release; state; cat ${of32M} ${NODE}/node0/hugepages/hugepages-64kB/nr_hugepages`,
    ].join("\n");
    const all = await printed(script, graviton);
    expect(all.filter((line) => !/^ {2}|^[{}]/.test(line))).toEqual([
      "pool: CPUs 1-2 (2 cores)",
      "memory: 16 huge pages of 32 MiB, 16 free",
      "available to enclaves: 512 MiB",
      ...["pool: CPUs 1-2 (2 cores), unchanged", "memory: 512 MiB, 16 huge pages of 32 MiB, unchanged"],
      ...["pool: CPUs 1-2 (2 cores), unchanged", "memory: 514 MiB, 16 huge pages of 32 MiB and 1 of 2 MiB"],
      ...["pool: CPUs 1-2 (2 cores), unchanged", "memory: 100 MiB, 3 huge pages of 32 MiB and 2 of 2 MiB"],
      ...["pool 1-2 online 0,3-7", "node0 0 2 2", "3"],
      "released CPUs 1-2 to the parent",
      "freed 2 huge pages of 32 MiB",
      ...["pool  online 0-7", "node0 0 0 0", "0", "7"],
    ]);
    expect(all.join("")).toContain('"32M": 2');
  });

  test("huge pages: are allocated after compaction if there are too few before", async () => {
    const fragmented = { obtainable: 10, obtainableCompacted: 300 };
    expect(await pages({ pages: { "2M": fragmented } }, "--cpus 2 --memory 512")).toBe("node0 0 256");
    const giants = { obtainable: 1, obtainableCompacted: 4 };
    expect(await pages({ pages: { "1G": giants } }, "--cpus 2 --memory 5G")).toBe("node0 4 512");
  });

  test("huge pages: surplus ones do not count, because the kernel frees them with their user", async () => {
    // 30 are in use; 20 of them become surplus when the pool is set to 10.
    const inUse = { pages: { "2M": { total: 30, used: 30 } } };
    const script = `echo 10 >${NODE}/node0/${HUGE}/nr_hugepages; nitro pool --cpus 2 --memory 64 --json; state`;
    const all = await printed(script, { topology, host: { nodes: [inUse] } });
    expect(all.at(-1)).toBe("node0 0 32 2");
    expect(all).toContain('    "2M": 32,');
  });

  test("huge pages: those of other nodes are not changed", async () => {
    const nodes = [{ pages: { "2M": 7, "1G": 1 } }, { pages: { "2M": 9, "1G": 2 } }];
    const script =
      "nitro pool --node 1 --cpus 2 --memory 64 >/dev/null; state; nitro pool release >/dev/null; state";
    const all = await printed(script, { topology: "c6i.24xlarge", host: { nodes } });
    expect(all.filter((line) => line.startsWith("node"))).toEqual([
      "node0 1 7 7",
      "node1 0 32 32",
      "node0 1 7 7",
      "node1 0 0 0",
    ]);
  });

  test("huge pages: are counted in the output of --json", async () => {
    const run = async (args: string) => {
      const { stdout, status } = await shell(`nitro pool ${args}`, {
        ...{ topology: "c6i.24xlarge", pool: "1,49" },
        host: { nodes: [{ pages: { "2M": 16 } }, { pages: { "1G": 1 } }] },
      });
      expect(status).toBe(0);
      return JSON.parse(stdout);
    };
    expect(await run("--cpus 2 --memory 64 --json")).toEqual({
      ...{ pool: "1,49", cpus: [1, 49], node: 0, hugePages: { "2M": 32, "1G": 0 }, memoryBytes: 2 ** 26 },
      ...{ changed: true, elsewhere: [{ node: 1, hugePages: { "2M": 0, "1G": 1 } }] },
    });
    expect(await run("--cpus 2 --memory 32 --json")).toMatchObject({ changed: false });
    expect(await run("status --json")).toEqual({
      ...{ pool: "1,49", cpus: [1, 49], cores: [[1, 49]], node: 0, threadsPerCore: 2 },
      hugePages: [
        { node: 0, pageBytes: 2 ** 21, total: 16, free: 16 },
        { node: 1, pageBytes: 2 ** 30, total: 1, free: 1 },
      ],
      availableBytes: 2 ** 25,
    });
    expect(await run("release --json")).toEqual({
      ...{ cpus: [1, 49], node: 0 },
      ...{ hugePagesBefore: { "2M": 16, "1G": 0 }, hugePagesLeft: { "2M": 0, "1G": 0 } },
    });
  });
});

test.skipIf(notHere !== undefined)(
  "nitro pool --memory 4096: launches without -m, with 512M and with 1536M find pages of their sizes",
  async () => {
    const launch = shellWords(
      here.production().filter((word, i, all) => word !== "-m" && all[i - 1] !== "-m"),
    );
    const script = [
      "nitro pool --cpus 2 --memory 4096",
      `for m in "" "-m 512M" "-m 1536M"; do ${launch} $m; done; nitro pool status`,
    ].join("\n");
    const scenario = { topology: "m5.xlarge", enclave: { heartbeatMs: 1, liveMs: LIVE_MS } };
    const result = await shell(script, scenario, { cwd: here.directory });
    expect(lines(result.stdout)).toEqual([
      ...["pool: CPUs 1,3 (1 core)", "memory: 4 GiB, 3 huge pages of 1 GiB and 512 of 2 MiB"],
      ...["pool: CPUs 1,3 (1 core)", "memory: 3 huge pages of 1 GiB, 3 free"],
      ...["memory: 512 huge pages of 2 MiB, 512 free", "available to enclaves: 4 GiB"],
    ]);
    const memories = [...result.stderr.matchAll(/ memory (.*?) in \d+ regions?/g)].map(([, text]) => text);
    expect(memories).toEqual([
      "128M, 64 huge pages of 2 MiB",
      "512M, 256 huge pages of 2 MiB",
      "1536M, 1 huge page of 1 GiB and 256 of 2 MiB",
    ]);
    expect(result.stderr).not.toContain("warning");
  },
);

describe.skipIf(notHere !== undefined)("nitro pool --config with allocator.yaml", () => {
  // As AWS's package installs it, apart from the values.
  const file = (...values: string[]) =>
    [
      "---",
      "# Enclave configuration file.",
      "#",
      "# How much memory to allocate for enclaves (in MiB).",
      ...values,
      "#",
      "# Example of reserving CPUs 2, 3, and 6 through 9:",
      "# cpu_pool: 2,3,6-9",
    ].join("\n");
  const PATH = "/etc/nitro_enclaves/allocator.yaml";
  const prepared = async (topology: string, text: string) =>
    (
      await printed(`with_status nitro pool --config ${PATH}; state`, { topology, files: { [PATH]: text } })
    ).slice(-4);

  test.each([
    [
      "cpu_count is prepared",
      "m5.2xlarge",
      ["memory_mib: 2560", "#", "cpu_count: 2 # a core"],
      "1,5",
      "node0 1 768 768",
    ],
    [
      "cpu_pool is prepared",
      "m5.2xlarge",
      ["memory_mib: 512", "cpu_pool: 2,3,6-7"],
      "2-3,6-7",
      "node0 0 256 256",
    ],
    [
      "CRLF and tabs are accepted",
      "m5.xlarge",
      ["  memory_mib:512\r", "\tcpu_count : 2\r", "\r"],
      "1,3",
      "node0 0 256 256",
    ],
    ["a single CPU is prepared", "r6g.2xlarge", ["memory_mib: 64", "cpu_pool: 5"], "5", "node0 0 32 32"],
    [
      "a list of enclaves is prepared",
      "m5.2xlarge",
      ["- memory_mib: 1536", "  cpu_count: 2", "- memory_mib: 1024", "  cpu_pool: 3,7"],
      "1,3,5,7",
      "node0 1 768 768",
    ],
  ])("--config: %s", async (_, topology, values, pool, node) => {
    const all = await prepared(topology, file(...values));
    expect(all.at(-1)).toBe(node);
    expect(all.at(-2)).toStartWith(`pool ${pool} `);
    expect(all.at(-3)).toBe("status 0");
  });
});

test.skipIf(notHere !== undefined)(
  "nitro pool: writes only the pool and the huge pages of its node",
  async () => {
    const { trace } = await shell("nitro pool --cpus 2 --memory 2560; nitro pool --cpus 2 --memory 2560", {
      topology: "c6i.24xlarge",
    });
    const written = trace.filter(({ what }) => what === "write").map((entry) => String(entry["path"]));
    const node = `${NODE}/node0`;
    expect(written).toEqual([POOL, `${node}/${GIANT}/nr_hugepages`, `${node}/${HUGE}/nr_hugepages`]);
  },
);
