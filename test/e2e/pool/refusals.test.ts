/** `nitro pool` when it cannot do what is requested: it reports why and the fix, and changes nothing. */
import { afterAll, describe, expect, test } from "bun:test";
import type { ParentResult } from "../../emulated-parent/run.ts";
import type { ScenarioInput, ScheduledSignal } from "../../emulated-parent/scenario.ts";
import { lines, shellWords, Workplace } from "../launch/nitro.ts";
import { GIANT, HUGE, NODE, notHere, POOL, printed, refused, shell, shellAlone } from "./instance.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const TWO_NODES = { topology: "c6i.24xlarge", pool: "1,49" };
const SMALL = { topology: "m5.2xlarge" };

/** Returns the paths written to. */
function written({ trace }: ParentResult): string[] {
  return trace.filter(({ what }) => what === "write").map((entry) => String(entry["path"]));
}

describe.concurrent.skipIf(notHere !== undefined)("nitro pool rejects", () => {
  const FILE = "/etc/nitro_enclaves/allocator.yaml";
  const cases: [args: string, why: string, hint: string][] = [
    ["", "pool: nothing requested", "nitro pool --cpus 2 --memory 512"],
    ["status --cpus 2", "--cpus: not an option of nitro pool status", "nitro pool status"],
    ["release now", "now: unexpected argument", "nitro pool -help shows the usage"],
    ["--nodes 1", "--nodes: invalid option", "did you mean --node?"],
    ["--cpus 2 --cpus 2", "--cpus: is given twice", "leave one of them out"],
    ["--cpus two", "--cpus two: expects a whole number, at least 1", "use a number such as --cpus 2"],
    ["--cpus 2 --cpu-list 2,50", "--cpu-list: conflicts with --cpus", "leave one of them out"],
    ["--cpu-list 3-2", "--cpu-list 3-2: expects a list of CPUs", "let nitro choose whole cores: --cpus 2"],
    ["--memory lots", "--memory lots: expects a size", "use a size such as --memory 512"],
    ["--config /nosuch", "--config /nosuch: No such file or directory (ENOENT)", "nitro pool --cpus 2"],
    [
      `--config ${FILE} --cpus 2`,
      "--cpus: conflicts with --config, whose file contains it",
      "leave out --cpus",
    ],
    [
      `--config ${FILE}`,
      `--config ${FILE}: memory_mib is missing`,
      "it must contain memory_mib, and either cpu_count",
    ],
    [
      "--cpus 3",
      "--cpus 3: enclaves need whole cores, and a core has 2 threads here",
      "--cpus 2 or --cpus 4",
    ],
    [
      "--cpus 50",
      "this instance can give enclaves at most 48 CPUs of one NUMA node (node 0: 46, node 1: 48)",
      "use --cpus 48",
    ],
    ["--cpus 48 --node 0", "NUMA node 0 can give enclaves at most 46 CPUs", "use --cpus 46"],
    ["--cpus 2 --node 2", "--node 2: NUMA node 2 does not exist", "the nodes are 0-1"],
    ["--cpu-list 0-1,49", "CPU 0's core (0,48) stays with the parent", "use --cpu-list 1,49"],
    ["--cpu-list 48-49", "CPU 0's core (0,48) stays with the parent", "use --cpu-list 1,49"],
    ["--cpu-list 2", "enclaves need whole cores; CPU 50 is missing", "use --cpu-list 2,50"],
    [
      "--cpu-list 2,50,30,78",
      "its CPUs are on NUMA nodes 0 and 1; a pool must be on one node",
      "use --cpu-list 2,50 or --cpu-list 30,78",
    ],
    ["--cpu-list 200-201", "this machine has no CPU 200-201", "its CPUs are 0-95"],
    [
      "--node 1 --memory 64",
      "the CPU pool is on NUMA node 0",
      "leave out --node 1, or move the pool as well: --cpus N",
    ],
  ];
  test.each(cases)("nitro pool %s: is rejected", async (args, why, hint) => {
    const files = { [FILE]: "cpu_count: 2\n" };
    const [first = "", second = "", ...rest] = await refused(`nitro pool ${args}`, { ...TWO_NODES, files });
    expect(first).toStartWith("nitro: ");
    expect(first).toContain(why);
    expect(second).toStartWith("hint: ");
    expect(second).toContain(hint);
    expect(rest).toEqual([]);
  });

  test("nitro pool: rejects huge pages without a pool if there are several nodes", async () => {
    const [first, second] = await refused("nitro pool --memory 64", { topology: "c6i.24xlarge" });
    expect(first).toContain("the CPU pool is empty, so the huge pages could be on any of the NUMA nodes 0-1");
    expect(second).toBe("hint: add --cpus, or --node");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("nitro pool reports", () => {
  test("nitro pool: reports a driver that is not loaded, with the command that loads it", async () => {
    const host = { modules: { nitro_enclaves: "unloaded" as const } };
    const script =
      "with_status nitro pool --cpus 2; modprobe nitro_enclaves && with_status nitro pool --cpus 2";
    const { stdout, stderr } = await shell(script, { ...SMALL, host });
    expect(lines(stderr)).toEqual([
      "nitro: the CPU pool: the driver is not loaded",
      "hint: modprobe nitro_enclaves",
    ]);
    expect(lines(stdout).slice(0, 2)).toEqual(["status 1", "pool: CPUs 1,5 (1 core)"]);
  });

  test("nitro pool: reports an instance started without enclaves", async () => {
    const host = { enclaveOption: false, modules: { nitro_enclaves: "unloaded" as const } };
    const { stderr, status } = await shell("nitro pool --cpus 2", { ...SMALL, host });
    expect(stderr).toContain("this m5.2xlarge was started without Nitro Enclaves");
    expect(stderr).toContain("--enclave-options Enabled=true");
    expect(status).toBe(1);
  });

  test("nitro pool: reports a kernel without the driver's module", async () => {
    const host = { modules: { nitro_enclaves: "missing" as const } };
    const { stderr } = await shell("nitro pool status", { ...SMALL, host });
    expect(stderr).toMatch(/kernel 6.1.\S+ has no module nitro_enclaves\nhint: \S/);
  });

  test("nitro pool: rejects a user who is not root, unless there is nothing to change", async () => {
    const scenario = { ...TWO_NODES, host: { nodes: [{ pages: { "2M": 32 } }] } };
    const user = { user: "1000:1000" };
    const asRoot = "hint: run it as root: sudo nitro pool …";
    expect(await refused("nitro pool --cpus 4", scenario, user)).toEqual([
      `nitro: the CPU pool 1-2,49-50: ${POOL}: Permission denied (EACCES); nothing was changed`,
      asRoot,
    ]);
    expect(await refused("nitro pool --cpus 2 --memory 128", scenario, user)).toEqual([
      `nitro: huge pages: ${NODE}/node0/${HUGE}/nr_hugepages: Permission denied (EACCES); nothing was changed`,
      asRoot,
    ]);
    expect((await refused("nitro pool release", scenario, user))[1]).toBe(asRoot);
    const { status } = await shell("nitro pool --cpus 2 --memory 64", scenario, user);
    expect(status).toBe(0);
  });

  test("nitro pool: reports a container, whose /sys is read-only", async () => {
    const faults = [{ call: `write:${POOL}`, errno: "EROFS" }];
    const messages = await refused("nitro pool --cpus 4", { ...TWO_NODES, faults });
    expect(messages).toEqual([
      `nitro: the CPU pool 1-2,49-50: ${POOL}: Read-only file system (EROFS); nothing was changed`,
      "hint: run it on the parent instance itself: in a container, /sys is read-only",
    ]);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("nitro pool rolls back", () => {
  const pages = { "2M": 7, "1G": 1 };

  test("roll back: a pool that the driver refuses is replaced by the previous one", async () => {
    const scenario = { ...TWO_NODES, host: { busyCpus: [50], nodes: [{ pages }] } };
    const messages = await refused("nitro pool --cpus 4 --memory 4G --node 0", scenario);
    expect(messages).toEqual([
      "nitro: the CPU pool 1-2,49-50: the driver refused it (Device or resource busy (EBUSY)); " +
        "restored the previous pool 1,49",
      "hint: the reason is in the kernel log: dmesg | grep nitro_enclaves | tail",
    ]);
    const result = await shell("nitro pool --cpus 4 --memory 4G --node 0", scenario);
    const texts = result.trace.filter(({ what }) => what === "pool written").map(({ text }) => text);
    expect(texts).toEqual(["1-2,49-50", "1,49"]);
    expect(written(result)).toEqual([POOL, POOL]);
  });

  test("roll back: it reports a previous pool that the driver refuses as well", async () => {
    const scenario = { ...TWO_NODES, host: { busyCpus: [1, 50] } };
    const { stderr, stdout, status } = await shell(
      "with_status nitro pool --cpus 4 --node 0; state",
      scenario,
    );
    expect(stderr).toContain(
      "(EBUSY)); not everything could be restored: the pool is empty, before it was 1,49\n",
    );
    expect(lines(stdout).slice(0, 2)).toEqual(["status 1", "pool  online 0-95"]);
    expect(status).toBe(0);
  });

  test("roll back: a pool that the driver refuses on one node is tried on the next one", async () => {
    const script = "nitro pool --cpus 4 --memory 64; state";
    const messages = await printed(script, { ...TWO_NODES, host: { busyCpus: [50] } });
    expect(messages).toEqual([
      "pool: CPUs 24-25,72-73 (2 cores) on NUMA node 1",
      "memory: 64 MiB, 32 huge pages of 2 MiB on NUMA node 1",
      ...["pool 24-25,72-73 online 0-23,26-71,74-95", "node0 0 0 0", "node1 0 32 32"],
    ]);
  });

  test("roll back: huge pages that cannot be allocated after compaction are reported", async () => {
    const fragmented = { total: 7, obtainable: 100, obtainableCompacted: 150 };
    const nodes = [{ pages: { ...pages, "2M": fragmented, "1G": { total: 1, obtainable: 0 } } }];
    const scenario: ScenarioInput = { ...SMALL, pool: "1,5", host: { nodes } };
    const command = "nitro pool --cpus 4 --memory 2G";
    const [first, second] = await refused(command, scenario);
    expect(first).toMatch(
      /^nitro: 2 GiB of huge pages: NUMA node 0 provided 1338 MiB \(1 huge page of 1 GiB and 157 of 2 MiB\), /,
    );
    expect(first).toMatch(
      / even after compaction; \d+(\.5)? GiB more are free or cached, but fragmented; restored the previous pool 1,5 and huge pages$/,
    );
    expect(second).toEndWith(
      "on the kernel command line: hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=512",
    );
    const result = await shell(command, scenario);
    expect(written(result)).toContain(`${NODE}/node0/compact`);
  });

  test("nitro pool: refuses more memory than the node has at once, because the kernel would evict all other memory", async () => {
    const scenario = { ...SMALL, pool: "1,5", host: { nodes: [{ pages }] } };
    const result = await shell("nitro pool --cpus 2 --memory 64G", scenario);
    expect(result.stderr).toMatch(
      /^nitro: 64 GiB of huge pages: NUMA node 0 can provide at most 3\d(\.5)? GiB; nothing was changed\n/,
    );
    expect(result.stderr).toMatch(/\nhint: request less, /);
    expect(result.status).toBe(1);
    expect(written(result)).toEqual([]);
  });

  test("nitro pool: with several nodes, it reports what each of them lacks", async () => {
    const little = { pages: { "2M": { total: 0, obtainable: 10 } } };
    const scenario = { ...TWO_NODES, host: { nodes: [little, { freeMiB: 50 }] } };
    const [first] = await refused("nitro pool --cpus 2 --memory 512", scenario);
    expect(first).toContain(
      "nitro: 512 MiB of huge pages: NUMA node 0 provided 20 MiB (10 huge pages of 2 MiB), even after compaction; ",
    );
    expect(first).toContain(
      "; NUMA node 1 can provide at most 50 MiB; restored the previous pool 1,49 and huge pages",
    );
  });

  test("roll back: after a failed allocation of 1 GiB pages the 2 MiB pages are restored", async () => {
    // No further page can be allocated.
    const nodes = [
      { freeMiB: 1024, pages: { "2M": { total: 512, obtainable: 0 }, "1G": { obtainable: 0 } } },
    ];
    const scenario = { ...SMALL, pool: "1,5", host: { nodes } };
    const result = await shell("nitro pool --memory 1536; state", scenario);
    expect(result.stderr).toContain("NUMA node 0 provided 1 GiB (512 huge pages of 2 MiB)");
    expect(lines(result.stdout).at(-1)).toBe("node0 0 512 512");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("nitro pool while an enclave runs", () => {
  test("running enclave: nitro pool refuses to change the CPUs, and changes the huge pages", async () => {
    const launch = shellWords(here.production());
    const errors = shellWords([here.path("errors")]);
    const script = [
      "nitro pool --cpus 2 --memory 128 >/dev/null",
      `${launch} 2>${errors} & enclave=$!; until grep -q started ${errors}; do sleep 0.02; done`,
      "with_status nitro pool --cpus 2 --memory 128; with_status nitro pool --cpus 4; with_status nitro pool release; state",
      "with_status nitro pool --cpus 2 --memory 32; state; with_status nitro pool --cpus 2 --memory 32",
      "kill $enclave; wait $enclave; state; with_status nitro pool --cpus 4 | tail -1; with_status nitro pool release",
    ].join("\n");
    const { stdout, stderr } = await shell(script, { ...SMALL, enclave: { heartbeatMs: null } });
    const runs =
      "an enclave is running, and until it exits the driver does not change its CPU pool; nothing was changed\n" +
      "hint: run it again when no enclave runs; list the launchers: pgrep -a 'nitro|qemu'\n";
    expect(stderr).toBe(`nitro: the CPU pool 1-2,5-6: ${runs}nitro: the CPU pool: ${runs}`);
    expect(lines(stdout)).toEqual([
      ...[
        "pool: CPUs 1,5 (1 core), unchanged",
        "memory: 128 MiB, 64 huge pages of 2 MiB, unchanged",
        "status 0",
      ],
      ...["status 1", "status 1", "pool 1,5 online 0,2-4,6-7", "node0 0 64 32"],
      // Its 32 pages are in use; 16 of them are freed when it exits.
      ...["pool: CPUs 1,5 (1 core), unchanged", "memory: 32 MiB, 16 huge pages of 2 MiB", "status 0"],
      ...["pool 1,5 online 0,2-4,6-7", "node0 0 32 0"],
      ...[
        "pool: CPUs 1,5 (1 core), unchanged",
        "memory: 32 MiB, 16 huge pages of 2 MiB, unchanged",
        "status 0",
      ],
      ...["pool 1,5 online 0,2-4,6-7", "node0 0 16 16", "status 0"],
      ...["released CPUs 1-2,5-6 to the parent", "freed 16 huge pages of 2 MiB", "status 0"],
    ]);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("nitro pool stopped by signals", () => {
  const scenario = { ...TWO_NODES, host: { nodes: [{ pages: { "2M": 100 } }] } };
  const command = "nitro pool --cpus 4 --memory 2304";
  const moments = [
    `exit write:${POOL}`,
    `enter write:${NODE}/node0/${GIANT}/nr_hugepages`,
    `exit write:${NODE}/node0/${GIANT}/nr_hugepages`,
    `exit write:${NODE}/node0/${HUGE}/nr_hugepages`,
  ];

  test.each(moments.flatMap((at) => (["SIGTERM", "SIGINT"] as const).map((signal) => [signal, at] as const)))(
    "nitro pool: %s at %s restores the previous state",
    async (signal, at) => {
      const messages = await refused(command, { ...scenario, signals: [{ at, signal }] });
      // A signal on the exit of a write may arrive before or after the next write.
      const stopped = `nitro: pool: stopped by ${signal}; restored the previous pool 1,49`;
      expect([stopped, `${stopped} and huge pages`]).toContain(messages[0] ?? "");
      expect(messages.slice(1)).toEqual(["hint: run it again"]);
    },
  );

  test.each(moments)("nitro pool: after SIGKILL at %s the next run completes the change", async (at) => {
    const signals: ScheduledSignal[] = [{ at, signal: "SIGKILL" }];
    const script = `(with_status ${command}) >/dev/null 2>&1; ${command} >/dev/null; state; ${command}`;
    const { stdout } = await shell(script, { ...scenario, signals });
    expect(lines(stdout)).toEqual([
      ...["pool 1-2,49-50 online 0,3-48,51-95", "node0 1 640 640", "node1 0 0 0"],
      "pool: CPUs 1-2,49-50 (2 cores) on NUMA node 0, unchanged",
      "memory: 2304 MiB, 1 huge page of 1 GiB and 640 of 2 MiB on NUMA node 0, unchanged",
    ]);
  });

  test("nitro pool: takes a pool CPU offline that was brought online", async () => {
    const script = [
      "nitro pool --cpus 2 >/dev/null; echo 1 >/sys/devices/system/cpu/cpu49/online; state",
      "nitro pool --cpus 2; state",
    ].join("\n");
    const messages = await printed(script, TWO_NODES);
    expect(messages[0]).toBe("pool 1,49 online 0,2-95");
    expect(messages[3]).toBe("pool: CPUs 1,49 (1 core) on NUMA node 0");
    expect(messages[5]).toBe("pool 1,49 online 0,2-48,50-95");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("two instances of nitro pool", () => {
  test("two instances of nitro pool: run one after the other", async () => {
    const script = "nitro pool --cpus 2 --memory 64 & nitro pool --cpus 4 --memory 128 & wait; state";
    const { stdout, stderr } = await shellAlone(script, SMALL);
    expect(stderr).toBe("");
    const all = lines(stdout);
    expect(all.filter((line) => line.startsWith("memory: ")).toSorted()).toEqual([
      "memory: 128 MiB, 64 huge pages of 2 MiB",
      "memory: 64 MiB, 32 huge pages of 2 MiB",
    ]);
    const last = all.slice(-2).join("; ");
    expect([
      "pool 1,5 online 0,2-4,6-7; node0 0 32 32",
      "pool 1-2,5-6 online 0,3-4,7; node0 0 64 64",
    ]).toContain(last);
  });

  test("two instances of nitro pool: the second waits for the first, and reports it after a second", async () => {
    const script = "flock /run/nitro-pool.lock sleep 2 & sleep 0.2; with_status nitro pool --cpus 2; wait";
    const { stdout, stderr } = await shellAlone(script, SMALL);
    expect(stderr).toBe("nitro: another nitro pool is running; waiting for it, up to 300 s\n");
    expect(lines(stdout).at(-1)).toBe("status 0");
  });

  test("two instances of nitro pool: a signal stops the one that waits", async () => {
    const script = [
      "flock /run/nitro-pool.lock sleep 30 & holder=$!; sleep 0.2",
      "$program pool --cpus 2 2>said & waiting=$!; until grep -q waiting said; do sleep 0.02; done",
      "kill $waiting; wait $waiting; echo $?; kill $holder; tail -1 said",
    ].join("\n");
    const { stdout } = await shellAlone(script, SMALL);
    expect(lines(stdout)).toEqual([
      "1",
      "nitro: pool: stopped by SIGTERM while waiting for another nitro pool",
    ]);
  });
});
