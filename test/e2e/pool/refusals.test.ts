/** `nitro pool` where it cannot do what is asked: it says why and what to type, and leaves everything as it was. */
import { afterAll, describe, expect, test } from "bun:test";
import type { ParentResult } from "../../emulated-parent/run.ts";
import type { ScenarioInput, SignalShot } from "../../emulated-parent/scenario.ts";
import { lines, shellWords, Workplace } from "../launch/nitro.ts";
import { GIANT, HUGE, NODE, notHere, POOL, printed, refused, shell, shellAlone } from "./instance.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const TWO_NODES = { topology: "c6i.24xlarge", pool: "1,49" };
const SMALL = { topology: "m5.2xlarge" };

/** The paths that were written to. */
function written({ trace }: ParentResult): string[] {
  return trace.filter(({ what }) => what === "write").map((entry) => String(entry["path"]));
}

describe.concurrent.skipIf(notHere !== undefined)("what is no request for a pool is refused:", () => {
  const FILE = "/etc/nitro_enclaves/allocator.yaml";
  const cases: [words: string, why: string, hint: string][] = [
    ["", "pool: what is to be prepared is missing", "nitro pool --cpus 2 --memory 512"],
    ["status --cpus 2", "--cpus: nitro pool status takes no such option", "nitro pool status"],
    ["release now", "now: nitro pool has no such word", "nitro pool status, or nitro pool release"],
    ["--nodes 1", "--nodes: invalid option", "nitro pool has --cpus, --cpu-list, --memory, --node, --config"],
    ["--cpus 2 --cpus 2", "--cpus: is given twice", "leave one of them out"],
    ["--cpus two", "--cpus two: expects a whole number from 1 on", "--cpus 2"],
    ["--cpus 2 --cpu-list 2,50", "--cpu-list: --cpus chooses the CPUs already", "leave one of them out"],
    ["--cpu-list 3-2", "--cpu-list 3-2: is no list of CPUs", "--cpu-list 2-3,10-11"],
    ["--memory lots", "--memory lots: expects a size", "--memory 512"],
    ["--config /nosuch", "--config /nosuch: No such file or directory (ENOENT)", "nitro pool --cpus 2"],
    [`--config ${FILE} --cpus 2`, "--cpus: the file of --config says that", "leave out --cpus"],
    [`--config ${FILE}`, `--config ${FILE}: memory_mib is missing`, "it has memory_mib and either cpu_count"],
    ["--cpus 3", "--cpus 3: enclaves take whole cores, which have 2 threads here", "--cpus 2 or --cpus 4"],
    ["--cpus 50", "there are 46 on NUMA node 0, 48 on NUMA node 1", "use --cpus 48 or less"],
    ["--cpus 48 --node 0", "there are 46 on NUMA node 0", "use --cpus 46 or less"],
    ["--cpus 2 --node 2", "--node 2: there is no such NUMA node", "the nodes are 0-1"],
    ["--cpu-list 0-1,49", "CPU 0 and its core (0,48) stay the parent's", "use --cpu-list 1,49"],
    ["--cpu-list 48-49", "CPU 0 and its core (0,48) stay the parent's", "use --cpu-list 1,49"],
    ["--cpu-list 2", "the driver takes whole cores; CPU 50 is missing", "use --cpu-list 2,50"],
    ["--cpu-list 2,50,30,78", "NUMA nodes 0 and 1", "use --cpu-list 2,50 or --cpu-list 30,78"],
    ["--cpu-list 200-201", "this machine has no CPU 200-201", "its CPUs are 0-95"],
    [
      "--node 1 --memory 64",
      "the CPU pool is on NUMA node 0",
      "leave out --node 1, or let the CPUs come from",
    ],
  ];
  test.each(cases)("nitro pool %s", async (words, why, hint) => {
    const files = { [FILE]: "cpu_count: 2\n" };
    const [first = "", second = "", ...rest] = await refused(`nitro pool ${words}`, { ...TWO_NODES, files });
    expect(first).toStartWith("nitro: ");
    expect(first).toContain(why);
    expect(second).toStartWith("hint: ");
    expect(second).toContain(hint);
    expect(rest).toEqual([]);
  });

  test("pages for a pool that is empty, on one of several nodes", async () => {
    const [first, second] = await refused("nitro pool --memory 64", { topology: "c6i.24xlarge" });
    expect(first).toContain("the CPU pool is empty, so nothing tells which of the NUMA nodes 0-1");
    expect(second).toBe("hint: give --cpus as well, or --node");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("a parent without what a pool needs:", () => {
  test("the driver is not loaded; what is to be typed helps", async () => {
    const host = { modules: { nitro_enclaves: "unloaded" as const } };
    const script = "told nitro pool --cpus 2; modprobe nitro_enclaves && told nitro pool --cpus 2";
    const { stdout, stderr } = await shell(script, { ...SMALL, host });
    expect(lines(stderr)).toEqual([
      "nitro: the CPU pool: the driver is not loaded",
      "hint: modprobe nitro_enclaves",
    ]);
    expect(lines(stdout).slice(0, 2)).toEqual(["status 1", "pool: CPUs 1,5 (1 core)"]);
  });

  test("the instance was started without enclaves", async () => {
    const host = { enclaveOption: false, modules: { nitro_enclaves: "unloaded" as const } };
    const { stderr, status } = await shell("nitro pool --cpus 2", { ...SMALL, host });
    expect(stderr).toContain("this m5.2xlarge was started without Nitro Enclaves");
    expect(stderr).toContain("--enclave-options Enabled=true");
    expect(status).toBe(1);
  });

  test("the kernel has no such module", async () => {
    const host = { modules: { nitro_enclaves: "missing" as const } };
    const { stderr } = await shell("nitro pool status", { ...SMALL, host });
    expect(stderr).toMatch(/the kernel 6.1.\S+ has no module nitro_enclaves\nhint: \S/);
  });

  test("nobody but root may; who is not root is told so, unless nothing is to be done", async () => {
    const scenario = { ...TWO_NODES, host: { nodes: [{ pages: { "2M": 32 } }] } };
    const user = { user: "1000:1000" };
    const asRoot = "hint: run it as root: sudo nitro pool …";
    expect(await refused("nitro pool --cpus 4", scenario, user)).toEqual([
      `nitro: the CPU pool 1-2,49-50: ${POOL}: Permission denied (EACCES)`,
      asRoot,
    ]);
    expect(await refused("nitro pool --cpus 2 --memory 128", scenario, user)).toEqual([
      `nitro: huge pages: ${NODE}/node0/${HUGE}/nr_hugepages: Permission denied (EACCES); everything is as it was`,
      asRoot,
    ]);
    expect((await refused("nitro pool release", scenario, user))[1]).toBe(asRoot);
    const { status } = await shell("nitro pool --cpus 2 --memory 64", scenario, user);
    expect(status).toBe(0);
  });

  test("in a container, whose /sys is for reading", async () => {
    const faults = [{ call: `write:${POOL}`, errno: "EROFS" }];
    const told = await refused("nitro pool --cpus 4", { ...TWO_NODES, faults });
    expect(told).toEqual([
      `nitro: the CPU pool 1-2,49-50: ${POOL}: Read-only file system (EROFS)`,
      "hint: run it on the parent instance itself: in a container /sys is for reading only",
    ]);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("rolled back:", () => {
  const pages = { "2M": 7, "1G": 1 };

  test("a pool that the driver refuses: the old one is written again", async () => {
    const scenario = { ...TWO_NODES, host: { busyCpus: [50], nodes: [{ pages }] } };
    const told = await refused("nitro pool --cpus 4 --memory 4G --node 0", scenario);
    expect(told).toEqual([
      "nitro: the CPU pool 1-2,49-50: the driver refuses it (Device or resource busy (EBUSY)); " +
        "the pool is as it was",
      "hint: its reason is in the kernel log: dmesg | grep nitro_enclaves | tail",
    ]);
    const result = await shell("nitro pool --cpus 4 --memory 4G --node 0", scenario);
    const texts = result.trace.filter(({ what }) => what === "pool written").map(({ text }) => text);
    expect(texts).toEqual(["1-2,49-50", "1,49"]);
    expect(written(result)).toEqual([POOL, POOL]);
  });

  test("a pool that the driver refuses, and the old one too: that is told", async () => {
    const scenario = { ...TWO_NODES, host: { busyCpus: [1, 50] } };
    const { stderr, stdout, status } = await shell("told nitro pool --cpus 4 --node 0; state", scenario);
    expect(stderr).toContain("(EBUSY)); the pool is empty now, it was 1,49\n");
    expect(lines(stdout).slice(0, 2)).toEqual(["status 1", "pool  online 0-95"]);
    expect(status).toBe(0);
  });

  test("a pool that the driver refuses on one node: the next node's cores are taken", async () => {
    const script = "nitro pool --cpus 4 --memory 64; state";
    const told = await printed(script, { ...TWO_NODES, host: { busyCpus: [50] } });
    expect(told).toEqual([
      "pool: CPUs 24-25,72-73 (2 cores) on NUMA node 1",
      "memory: 64M, 32 huge pages of 2 MiB on NUMA node 1",
      ...["pool 24-25,72-73 online 0-23,26-71,74-95", "node0 0 0 0", "node1 0 32 32"],
    ]);
  });

  test("huge pages that cannot be had: compaction is tried, then everything is as it was", async () => {
    const inPieces = { total: 7, obtainable: 100, obtainableCompacted: 150 };
    const nodes = [{ pages: { ...pages, "2M": inPieces, "1G": { total: 1, obtainable: 0 } } }];
    const scenario: ScenarioInput = { ...SMALL, pool: "1,5", host: { nodes } };
    const command = "nitro pool --cpus 4 --memory 2G";
    const [first, second] = await refused(command, scenario);
    expect(first).toMatch(
      /^nitro: 2048M of huge pages on NUMA node 0: only 1338M could be had \(1 huge page of 1 GiB and 157 of 2 MiB\)/,
    );
    expect(first).toMatch(
      /, after compaction too; 30\d\d\dM more .* in smaller pieces; everything is as it was$/,
    );
    expect(second).toEndWith(
      "on the kernel's command line: hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=512",
    );
    const result = await shell(command, scenario);
    expect(written(result)).toContain(`${NODE}/node0/compact`);
  });

  test("more memory than there is: nothing is tried, for it would press out everybody else's", async () => {
    const scenario = { ...SMALL, pool: "1,5", host: { nodes: [{ pages }] } };
    const result = await shell("nitro pool --cpus 2 --memory 64G", scenario);
    expect(result.stderr).toMatch(
      /^nitro: 65536M of huge pages on NUMA node 0: 64498M more are needed for that, and 307\d\dM of its memory are free/,
    );
    expect(result.stderr).toMatch(/\nhint: ask for less than 31\d\d\dM, /);
    expect(result.status).toBe(1);
    expect(written(result)).toEqual([]);
  });

  test("on several nodes, what each of them lacks is told", async () => {
    const little = { pages: { "2M": { total: 0, obtainable: 10 } } };
    const scenario = { ...TWO_NODES, host: { nodes: [little, { freeMiB: 50 }] } };
    const [first] = await refused("nitro pool --cpus 2 --memory 512", scenario);
    expect(first).toContain(
      "512M of huge pages on NUMA node 0: only 20M could be had (10 huge pages of 2 MiB)",
    );
    expect(first).toContain(
      "; 512M of huge pages on NUMA node 1: 512M more are needed for that, and 50M of its",
    );
  });

  test("pages of which more were there before, and cannot be had again: that is told", async () => {
    // They are to be fewer, and somebody else takes the room at once.
    const nodes = [
      { freeMiB: 1024, pages: { "2M": { total: 512, obtainable: 0 }, "1G": { obtainable: 0 } } },
    ];
    const scenario = { ...SMALL, pool: "1,5", host: { nodes } };
    const result = await shell("nitro pool --memory 1536; state", scenario);
    expect(result.stderr).toContain("only 1024M could be had");
    expect(lines(result.stdout).at(-1)).toBe("node0 0 512 512");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("while an enclave runs", () => {
  test("the pool stays; what does not change it is done", async () => {
    const launch = shellWords(here.production());
    const errors = shellWords([here.path("errors")]);
    const script = [
      "nitro pool --cpus 2 --memory 128 >/dev/null",
      `${launch} 2>${errors} & enclave=$!; until grep -q started ${errors}; do sleep 0.02; done`,
      "told nitro pool --cpus 2 --memory 128; told nitro pool --cpus 4; told nitro pool release; state",
      "told nitro pool --cpus 2 --memory 32; state; told nitro pool --cpus 2 --memory 32",
      "kill $enclave; wait $enclave; state; told nitro pool --cpus 4 | tail -1; told nitro pool release",
    ].join("\n");
    const { stdout, stderr } = await shell(script, { ...SMALL, enclave: { heartbeatMs: null } });
    const runs =
      "an enclave runs, and the driver does not change its pool then; nothing was changed\n" +
      "hint: stop every enclave first: pgrep -a nitro; nitro-cli terminate-enclave --all\n";
    expect(stderr).toBe(`nitro: the CPU pool 1-2,5-6: ${runs}nitro: the CPU pool: ${runs}`);
    expect(lines(stdout)).toEqual([
      ...[
        "pool: CPUs 1,5 (1 core), as before",
        "memory: 128M, 64 huge pages of 2 MiB, as before",
        "status 0",
      ],
      ...["status 1", "status 1", "pool 1,5 online 0,2-4,6-7", "node0 0 64 32"],
      // Its 32 pages are in use; 16 of them go when it ends.
      ...["pool: CPUs 1,5 (1 core), as before", "memory: 32M, 16 huge pages of 2 MiB", "status 0"],
      ...["pool 1,5 online 0,2-4,6-7", "node0 0 32 0"],
      ...["pool: CPUs 1,5 (1 core), as before", "memory: 32M, 16 huge pages of 2 MiB, as before", "status 0"],
      ...["pool 1,5 online 0,2-4,6-7", "node0 0 16 16", "status 0"],
      ...[
        "pool: CPUs 1-2,5-6 are the parent's again",
        "memory: 16 huge pages of 2 MiB given back",
        "status 0",
      ],
    ]);
  });
});

describe.concurrent.skipIf(notHere !== undefined)("stopped in the middle:", () => {
  const scenario = { ...TWO_NODES, host: { nodes: [{ pages: { "2M": 100 } }] } };
  const command = "nitro pool --cpus 4 --memory 2304";
  const moments = [
    `exit write:${POOL}`,
    `enter write:${NODE}/node0/${GIANT}/nr_hugepages`,
    `exit write:${NODE}/node0/${GIANT}/nr_hugepages`,
    `exit write:${NODE}/node0/${HUGE}/nr_hugepages`,
  ];

  test.each(moments.flatMap((at) => (["SIGTERM", "SIGINT"] as const).map((signal) => [signal, at] as const)))(
    "%s, %s: everything is as it was",
    async (signal, at) => {
      const told = await refused(command, { ...scenario, signals: [{ at, signal }] });
      expect(told).toEqual([
        `nitro: pool: stopped by ${signal}; everything is as it was`,
        "hint: start it again",
      ]);
    },
  );

  test.each(moments)("SIGKILL, %s: the next run mends it", async (at) => {
    const signals: SignalShot[] = [{ at, signal: "SIGKILL" }];
    const script = `(told ${command}) >/dev/null 2>&1; ${command} >/dev/null; state; ${command}`;
    const { stdout } = await shell(script, { ...scenario, signals });
    expect(lines(stdout)).toEqual([
      ...["pool 1-2,49-50 online 0,3-48,51-95", "node0 2 128 128", "node1 0 0 0"],
      "pool: CPUs 1-2,49-50 (2 cores) on NUMA node 0, as before",
      "memory: 2304M, 2 huge pages of 1 GiB and 128 of 2 MiB on NUMA node 0, as before",
    ]);
  });

  test("a pool whose CPU somebody has put online: the next run takes it again", async () => {
    const script = [
      "nitro pool --cpus 2 >/dev/null; echo 1 >/sys/devices/system/cpu/cpu49/online; state",
      "nitro pool --cpus 2; state",
    ].join("\n");
    const told = await printed(script, TWO_NODES);
    expect(told[0]).toBe("pool 1,49 online 0,2-95");
    expect(told[3]).toBe("pool: CPUs 1,49 (1 core) on NUMA node 0");
    expect(told[5]).toBe("pool 1,49 online 0,2-48,50-95");
  });
});

describe.concurrent.skipIf(notHere !== undefined)("two at once:", () => {
  test("each is done as a whole", async () => {
    const script = "nitro pool --cpus 2 --memory 64 & nitro pool --cpus 4 --memory 128 & wait; state";
    const { stdout, stderr } = await shellAlone(script, SMALL);
    expect(stderr).toBe("");
    const all = lines(stdout);
    expect(all.filter((line) => line.startsWith("memory: ")).toSorted()).toEqual([
      "memory: 128M, 64 huge pages of 2 MiB",
      "memory: 64M, 32 huge pages of 2 MiB",
    ]);
    const last = all.slice(-2).join("; ");
    expect([
      "pool 1,5 online 0,2-4,6-7; node0 0 32 32",
      "pool 1-2,5-6 online 0,3-4,7; node0 0 64 64",
    ]).toContain(last);
  });

  test("one waits for the other, and says so when it takes long", async () => {
    const script = "flock /run/nitro-pool.lock sleep 2 & sleep 0.2; told nitro pool --cpus 2; wait";
    const { stdout, stderr } = await shellAlone(script, SMALL);
    expect(stderr).toBe("nitro: another nitro pool is at work; waiting for its end\n");
    expect(lines(stdout).at(-1)).toBe("status 0");
  });

  test("one that waits can be stopped", async () => {
    const script = [
      "flock /run/nitro-pool.lock sleep 30 & holder=$!; sleep 0.2",
      "$program pool --cpus 2 2>said & waiting=$!; until grep -q waiting said; do sleep 0.02; done",
      "kill $waiting; wait $waiting; echo $?; kill $holder; tail -1 said",
    ].join("\n");
    const { stdout } = await shellAlone(script, SMALL);
    expect(lines(stdout)).toEqual([
      "1",
      "nitro: pool: stopped by SIGTERM while it waited for another nitro pool",
    ]);
  });
});
