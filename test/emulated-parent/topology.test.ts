/**
 * The described parent instance: the contents of its files, their permissions, and the effects of writes and programs.
 */
import { describe, expect, test } from "bun:test";
import { type ParentResult, type ParentRun, runInParent, whyNotHere } from "./run.ts";
import type { ScenarioInput } from "./scenario.ts";

const reason = whyNotHere();
const CPU = "/sys/devices/system/cpu";
const NODE = "/sys/devices/system/node";
const POOL = "/sys/module/nitro_enclaves/parameters/ne_cpus";
const KEPT = "hugepages/hugepages-2048kB";

/** Runs a shell's script on a described instance. */
function shell(
  script: string,
  scenario: ScenarioInput,
  more: Partial<ParentRun> = {},
): Promise<ParentResult> {
  return runInParent({ command: ["sh", "-c", script], scenario, limitSeconds: 30, ...more });
}

/** The lines that a script prints. */
async function lines(script: string, scenario: ScenarioInput, more?: Partial<ParentRun>): Promise<string[]> {
  const { stdout, stderr } = await shell(script, scenario, more);
  expect(stderr).toBe("");
  return stdout.trimEnd().split("\n");
}

/** A shell command that writes a text to a file and prints whether that succeeded. */
const tryWrite = (text: string, path: string): string =>
  `{ echo '${text}' >${path}; } 2>/dev/null && echo yes || echo no`;

describe.skipIf(reason !== undefined)(
  `files of a described instance${reason === undefined ? "" : ` (${reason})`}`,
  () => {
    const script = [
      `cat ${CPU}/online ${CPU}/possible ${CPU}/cpu0/topology/thread_siblings_list`,
      `ls ${CPU} | grep -c '^cpu[0-9]'`,
      `cat ${NODE}/online ${NODE}/node0/cpulist; ls -d ${NODE}/node[0-9]* | wc -l`,
      "cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name",
      "sed -n 's/^MemTotal: *//p' /proc/meminfo; grep -c ^processor /proc/cpuinfo; uname -m",
    ].join("; ");

    for (const [type, figures] of Object.entries({
      // As lscpu and sysfs show it: siblings are half of all CPUs apart, and a node's list begins with its first threads.
      "m5.xlarge": ["0-3", "0-3", "0,2", "4", "0", "0-3", "1", "16777216 kB", "4", "x86_64"],
      "c6i.24xlarge": [
        "0-95",
        "0-95",
        "0,48",
        "96",
        "0-1",
        "0-23,48-71",
        "2",
        "201326592 kB",
        "96",
        "x86_64",
      ],
      "r6g.2xlarge": ["0-7", "0-7", "0", "8", "0", "0-7", "1", "67108864 kB", "8", "aarch64"],
      "u-3tb1.56xlarge": [
        "0-223",
        "0-223",
        "0,112",
        "224",
        "0-3",
        "0-27,112-139",
        "4",
        "3221225472 kB",
        "224",
        "x86_64",
      ],
    })) {
      test(`instance type ${type}: has the CPUs, nodes, memory and firmware of EC2`, async () => {
        const [online, possible, siblings, cpus, nodes, ofNode, nodeCount, ...rest] = figures;
        const firmware = ["Amazon EC2", type];
        const expected = [online, possible, siblings, cpus, nodes, ofNode, nodeCount, ...firmware, ...rest];
        expect(await lines(script, { topology: type })).toEqual(expected as string[]);
      });
    }

    test("topology: can have adjacent siblings, and more sockets than nodes", async () => {
      const topology = {
        instance: "odd.large",
        sockets: 4,
        nodes: 2,
        cores: 8,
        numbering: "adjacent",
      } as const;
      const script = `cat ${CPU}/cpu5/topology/thread_siblings_list ${CPU}/cpu5/topology/core_id ${CPU}/cpu15/topology/physical_package_id ${NODE}/node1/cpulist ${NODE}/node1/distance ${CPU}/cpu0/topology/core_cpus`;
      expect(await lines(script, { topology })).toEqual(["4-5", "0", "3", "8-15", "21 10", "0003"]);
    });

    test("emulated files: directories are listed, links followed, and paths resolved from descriptors", async () => {
      const script = [
        `ls ${CPU}/cpu1/topology | wc -l; readlink ${CPU}/cpu1/node0; cat ${CPU}/cpu1/node0/cpu2/online`,
        `find ${NODE}/node0/hugepages -name free_hugepages -path '*2048kB*'`,
        "for d in /sys/bus/pci/devices/*; do cat $d/vendor $d/device; done | paste -s -d ' '",
        "readlink -f /sys/bus/pci/devices/0000:00:02.0/driver; stat -c '%F %a %t:%T' /dev/nitro_enclaves",
        `stat -c '%s %A' ${CPU}/online; cd ${CPU} && cat possible`,
        "ls /sys/hypervisor 2>/dev/null || echo no Xen; cat /proc/misc | grep -c nitro_enclaves",
      ].join("; ");
      expect(await lines(script, { topology: "m5.xlarge" })).toEqual([
        "13",
        "../../node/node0",
        "1",
        `${NODE}/node0/${KEPT}/free_hugepages`,
        "0x8086 0x1237 0x1d0f 0xe4c1 0x1d0f 0x8061 0x1d0f 0xec20",
        "/sys/bus/pci/drivers/nitro_enclaves",
        "character special file 660 a:7c",
        "4096 -r--r--r--",
        "0-3",
        "no Xen",
        "1",
      ]);
    });

    test("emulated files: the device is missing without the enclave option or the driver", async () => {
      const script = `ls /dev/nitro_enclaves ${POOL} /sys/bus/pci/devices/0000:00:02.0 2>/dev/null; echo end`;
      const off = { topology: "m5.xlarge", host: { enclaveOption: false } };
      expect(await lines(script, off)).toEqual([POOL, "end"]);
      const unloaded = { topology: "m5.xlarge", host: { modules: { nitro_enclaves: "unloaded" as const } } };
      expect(await lines(script, unloaded)).toEqual([
        "/sys/bus/pci/devices/0000:00:02.0:",
        "class",
        "device",
        "enable",
        "modalias",
        "numa_node",
        "vendor",
        "end",
      ]);
    });

    test("permissions: the device, sysfs and capabilities are checked", async () => {
      const script = [
        "cat /dev/nitro_enclaves && echo open || echo refused",
        `(echo 1,3 >${POOL}) && echo written || echo refused`,
        `test -w ${CPU}/online && echo writable || echo not`,
        "(chmod 666 /dev/nitro_enclaves) && echo changed || echo refused",
        "cat /sys/class/dmi/id/product_uuid || echo refused",
      ].join("; ");
      const user = await shell(script, { topology: "m5.xlarge" }, { user: "1000:1000" });
      expect(user.stdout).toBe("refused\nrefused\nnot\nrefused\nrefused\n");
      const member = await shell(
        script,
        { topology: "m5.xlarge", deviceGid: 990 },
        { user: "1000:1000:990" },
      );
      expect(member.stdout.split("\n")[0]).toBe("open");
      const root = await shell(
        `(echo 1 >${CPU}/online) || echo refused; chgrp ne /dev/nitro_enclaves; chmod 640 /dev/nitro_enclaves; stat -c '%G %a' /dev/nitro_enclaves`,
        { topology: "m5.xlarge" },
      );
      expect(root.stdout).toBe("refused\nne 640\n");
    });

    test("scenario files: are added to the emulated ones, or remove them", async () => {
      const files = { "/etc/nitro_enclaves/allocator.yaml": "cpu_count: 2\n", [`${CPU}/online`]: null };
      const script = `cat /etc/nitro_enclaves/allocator.yaml; cat ${CPU}/online 2>/dev/null || echo none`;
      expect(await lines(script, { topology: "m5.xlarge", files })).toEqual(["cpu_count: 2", "none"]);
    });

    test("scenario: contradictions are rejected", async () => {
      const run = (scenario: ScenarioInput) => shell("true", scenario);
      expect(run({ topology: "m9.huge" })).rejects.toThrow(
        'unknown instance type "m9.huge"; known are m5.xlarge',
      );
      expect(run({ host: {} })).rejects.toThrow('needs "topology"');
      expect(run({ topology: "m5.xlarge", cpus: 4 })).rejects.toThrow('conflicts with "topology"');
      expect(run({ topology: "m5.xlarge", pool: "9" })).rejects.toThrow("not a list of the 4 CPUs");
      expect(run({ topology: { cores: 3, nodes: 2 } })).rejects.toThrow("cannot be divided evenly");
    });
  },
);

describe.skipIf(reason !== undefined)("writes to a described instance", () => {
  test("CPU pool: accepts whole cores of one node without CPU 0's; a refused write empties it", async () => {
    const attempts = ["2", "2,50", "0,48", "2,26,50,74", "200", "x", "3-2", "2-3,50-51", "1,49", "2,50:"];
    const script = attempts.map((list) => `${tryWrite(list, POOL)}; cat ${CPU}/offline`).join("; ");
    const expected = [
      "no",
      "",
      "yes",
      "2,50",
      "no",
      "",
      "no",
      "",
      "no",
      "",
      "no",
      "",
      "no",
      "",
      "yes",
      "2-3,50-51",
    ];
    const { stdout } = await shell(script, { topology: "c6i.24xlarge" });
    expect(stdout.trimEnd().split("\n")).toEqual([...expected, "yes", "1,49", "no"]);
    const errnos = (await shell(script, { topology: "c6i.24xlarge" })).trace
      .filter(({ what }) => what === "pool written")
      .map(({ errno }) => errno);
    expect(errnos).toEqual([22, 0, 22, 22, 34, 22, 22, 0, 0, 22]);
  });

  test("CPU pool: its CPUs leave the topology and their node's list, but keep the link to their node", async () => {
    const script = [
      `echo 1,3 >${POOL}; cat ${POOL} ${CPU}/online ${CPU}/offline ${NODE}/node0/cpulist ${CPU}/cpu1/online`,
      `ls ${CPU}/cpu1; ls ${CPU}/cpu1/topology 2>/dev/null || echo gone; grep -c ^processor /proc/cpuinfo`,
      `echo >${POOL} || cat ${CPU}/online`,
    ].join("; ");
    const { stdout } = await shell(script, { topology: "m5.xlarge" });
    expect(stdout.trimEnd().split("\n")).toEqual([
      ...["1,3", "", "0,2", "1,3", "0,2", "0"], // what echo wrote is kept with its line feed
      ...["node0", "online", "uevent", "gone", "2", "0-3"],
    ]);
  });

  test("CPU pool: a CPU that cannot go offline is refused, and the pool is empty then", async () => {
    const script = `${tryWrite("1,49", POOL)}; ${tryWrite("1-2,49-50", POOL)}; cat ${CPU}/online`;
    const scenario = { topology: "c6i.24xlarge", host: { busyCpus: [50] } };
    expect(await lines(script, scenario)).toEqual(["yes", "no", "0-95"]);
    const { trace } = await shell(script, scenario);
    expect(trace.filter(({ what }) => what === "pool written").map(({ errno }) => errno)).toEqual([0, 16]);
  });

  test("CPU pool: on Graviton one CPU is a core", async () => {
    const script = `echo 5 >${POOL}; cat ${CPU}/offline ${CPU}/cpu4/topology/thread_siblings_list`;
    expect(await lines(script, { topology: "r6g.2xlarge" })).toEqual(["5", "4"]);
  });

  test("CPU hotplug: a CPU that a user took offline cannot join the pool, and can be brought online", async () => {
    const script = `echo 0 >${CPU}/cpu3/online; cat ${CPU}/online; ${tryWrite("1,3", POOL)}; echo 1 >${CPU}/cpu3/online; ${tryWrite("1,3", POOL)}; echo 1 >${CPU}/cpu3/online; cat ${CPU}/online; ${tryWrite("1,3", POOL)}; cat ${CPU}/online; ls ${CPU}/cpu0/online 2>/dev/null || echo CPU 0 stays`;
    expect(await lines(script, { topology: "m5.xlarge" })).toEqual([
      ...["0-2", "no", "yes", "0,2-3", "yes", "0,2", "CPU 0 stays"],
    ]);
  });

  test("huge pages: are spread over the nodes or allocated on one, as far as memory suffices", async () => {
    const show = `cat ${NODE}/node*/${KEPT}/nr_hugepages | paste -s -d ' '`;
    const host = { nodes: [{ pages: { "2M": { total: 0, obtainable: 30, obtainableCompacted: 60 } } }] };
    const script = [
      `echo 20 >/proc/sys/vm/nr_hugepages; ${show}`,
      `echo 100 >/sys/kernel/mm/${KEPT}/nr_hugepages; ${show}`,
      `echo 50 >${NODE}/node0/${KEPT}/nr_hugepages; ${show}`,
      `echo 1 >/proc/sys/vm/compact_memory; echo 50 >${NODE}/node0/${KEPT}/nr_hugepages; ${show}`,
      `echo 3 >${NODE}/node1/${KEPT}/nr_hugepages; ${show}; sed -n 's/HugePages_Free: *//p' /proc/meminfo`,
      `${tryWrite("x", "/proc/sys/vm/nr_hugepages")}; ${tryWrite("2", "/proc/sys/vm/compact_memory")}`,
      `echo 2 >/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages; cat ${NODE}/node1/hugepages/hugepages-1048576kB/free_hugepages`,
    ].join("; ");
    const expected = ["10 10", "30 70", "30 70", "50 70", "50 3", "53", "no", "no", "1"];
    expect(await lines(script, { topology: "c6i.24xlarge", host })).toEqual(expected);
  });

  test("huge pages: pages in use become surplus when the pool shrinks", async () => {
    const host = { nodes: [{ pages: { "2M": { total: 10, used: 4 } } }] };
    const files = ["nr_hugepages", "free_hugepages", "surplus_hugepages"].map(
      (name) => `${NODE}/node0/${KEPT}/${name}`,
    );
    const script = `cat ${files.join(" ")}; echo 2 >/proc/sys/vm/nr_hugepages; cat ${files.join(" ")}`;
    expect(await lines(script, { topology: "m5.xlarge", host })).toEqual(["10", "6", "0", "4", "0", "2"]);
  });

  test("huge pages: dropping the page cache makes room for more", async () => {
    const host = { nodes: [{ freeMiB: 100, cachedMiB: 1000 }] };
    const allocate = `echo 400 >/proc/sys/vm/nr_hugepages; cat /proc/sys/vm/nr_hugepages`;
    const script = `${allocate}; echo 3 >/proc/sys/vm/drop_caches; ${allocate}`;
    expect(await lines(script, { topology: "m5.xlarge", host })).toEqual(["50", "400"]);
  });

  test("control groups: limits can be written in both versions", async () => {
    const path = "/system.slice/enclave.service";
    const limits = { "/system.slice": { "hugetlb.2MB.max": "0" } };
    const script = `cat /proc/self/cgroup /sys/fs/cgroup/system.slice/hugetlb.2MB.max; echo 4m >/sys/fs/cgroup/system.slice/hugetlb.2MB.max; cat /sys/fs/cgroup/system.slice/hugetlb.2MB.max /sys/fs/cgroup${path}/hugetlb.2MB.current /sys/fs/cgroup${path}/cpuset.mems.effective`;
    expect(await lines(script, { topology: "c6i.24xlarge", host: { cgroup: { path, limits } } })).toEqual([
      ...[`0::${path}`, "0", "4194304", "0", "0-1"],
    ]);
    const old = { version: 1 as const, path: "/box", limits: { "/box": { "cpuset.mems": "1" } } };
    const oldScript =
      "cat /proc/self/cgroup /sys/fs/cgroup/hugetlb/box/hugetlb.2MB.limit_in_bytes /sys/fs/cgroup/cpuset/box/cpuset.effective_mems";
    expect(await lines(oldScript, { topology: "c6i.24xlarge", host: { cgroup: old } })).toEqual([
      ...["3:hugetlb:/box", "2:memory:/box", "1:cpuset:/box", "9223372036854771712", "1"],
    ]);
  });

  test("programs: packages, another kernel, and ss with the holder of a vsock port", async () => {
    const modules = { nitro_enclaves: "missing" as const, vsock_loopback: "missing" as const };
    const host = { kernel: "4.14.1-test", modules };
    const script = [
      "uname -r; cat /proc/sys/kernel/osrelease; modprobe nitro_enclaves 2>/dev/null || echo not there",
      "apt-get install -y linux-modules-extra-$(uname -r); modprobe -a nitro_enclaves vsock_loopback; ls /dev/nitro_enclaves",
      "apt-get install -y linux-aws; uname -r; reboot; uname -r; cat /proc/version | cut -d' ' -f3",
      "apt-get install -y nosuch 2>&1; dnf install -y nosuch 2>&1; groupadd -f ne; echo $?; groupadd ne 2>/dev/null; echo $?",
      "socat VSOCK-LISTEN:1234 - & until ss --vsock -lnpH | grep -q ':1234 '; do sleep 0.05; done",
      "[ $(ss --vsock -lnpH | grep -o 'pid=[0-9]*') = pid=$! ] && echo its; kill $!; wait; ss --vsock -lnpH; ss -a 2>&1",
    ].join("; ");
    const { stdout } = await shell(script, { topology: "m5.xlarge", host });
    expect(stdout.trimEnd().split("\n")).toEqual([
      ...["4.14.1-test", "4.14.1-test", "not there", "/dev/nitro_enclaves", "4.14.1-test"],
      ...["6.1.141-155.222.amzn2023.x86_64", "6.1.141-155.222.amzn2023.x86_64"],
      ...["E: Unable to locate package nosuch", "No match for argument: install -y nosuch", "0", "9", "its"],
      "ss: not emulated: -a",
    ]);
  });

  test("procfs: shows reserved pages, the nodes of the cpuset, and the link of an enclave's descriptor", async () => {
    const cgroup = { path: "/box", limits: { "/box": { "cpuset.mems": "1" } } };
    const host = { cgroup, nodes: [{ pages: { "2M": { total: 9, reserved: 4 } } }] };
    const script = [
      `cat /sys/kernel/mm/${KEPT}/resv_hugepages; sed -n 's/^Mems_allowed_list:\\s*//p' /proc/self/status`,
      "sed -n 's/^Name:\\s*//p' /proc/1/status | wc -l; grep -c '(file)' /proc/meminfo",
    ].join("; ");
    expect(await lines(script, { topology: "c6i.24xlarge", host })).toEqual(["4", "1", "1", "2"]);
    const launched = await shell(
      `${process.execPath} ${new URL("probe.ts", import.meta.url).pathname} '[["open"], ["create"], ["sleep", 60000]]' & ` +
        "P=$!; until readlink /proc/$P/fd/* | grep -m 1 ne-vm; do kill -0 $P || exit; done; kill $P; wait",
      { topology: "m5.xlarge", pool: "1,3" },
    );
    expect(launched.stdout).toContain("anon_inode:ne-vm\n");
  });

  test("programs: modprobe, rmmod, aws, groupadd, usermod and sudo change the system", async () => {
    const host = {
      enclaveOption: false,
      modules: { nitro_enclaves: "unloaded" as const, nope: "missing" as const },
    };
    const script = [
      "modprobe nope 2>/dev/null || echo no nope",
      "sudo modprobe nitro-enclaves ne_cpus=1,3; cat /sys/module/nitro_enclaves/initstate /proc/modules | head -2",
      `cat ${CPU}/offline; ls /dev/nitro_enclaves 2>/dev/null || echo no device`,
      "aws ec2 modify-instance-attribute --instance-id i-0 --enclave-options Enabled=true; ls /dev/nitro_enclaves",
      "groupadd boxes; usermod -aG boxes,ne joe; grep -E '^(boxes|ne):' /etc/group",
      `rmmod vsock 2>/dev/null || echo in use; rmmod nitro_enclaves; cat ${CPU}/offline`,
    ].join("; ");
    const { stdout } = await shell(script, { topology: "m5.xlarge", host });
    expect(stdout.trimEnd().split("\n")).toEqual([
      ...["no nope", "live", "nitro_enclaves 49152 0 - Live 0x0000000000000000", "1,3", "no device"],
      ...["/dev/nitro_enclaves", "ne:x:990:joe", "boxes:x:991:joe", "in use"],
    ]);
  });
});
