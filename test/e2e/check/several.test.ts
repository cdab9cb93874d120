/** Hosts with several problems: check reports all of them at once, and the fixes together let the launch pass. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { launchAs, NITRO, notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, type CheckJson, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const UNIT = "/system.slice/enclave.service";

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a new instance without pool and huge pages",
    scenario: { topology: "m5.xlarge" },
    launchReports: 1,
    launchMessage:
      /^nitro: -m 128M: not enough huge pages: need 128 MiB, 0 MiB free .*\nhint: nitro pool --cpus 2 --memory 128, or /m,
    failures: [
      { subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2" },
      { subject: "pages", text: /, 0 MiB free/, fix: "nitro pool --memory 128" },
    ],
  },
  {
    name: "a new instance with two nodes",
    scenario: { topology: "c6i.24xlarge" },
    launchMessage:
      /^nitro: -m 128M: not enough huge pages: need 128 MiB, 0 MiB free.*\nhint: the CPU pool, which determines the NUMA node, is empty.*nitro pool --cpus 2 --memory 128$/m,
    failures: [
      { subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2 --node 0 --memory 128" },
      {
        subject: "pages",
        text: /^-m 128M: no NUMA node has enough free huge pages \(node 0: none reserved, /,
        fix: "nitro pool --cpus 2 --node 0 --memory 128",
      },
    ],
  },
  {
    name: "a new Graviton instance without driver and vsock, and with a control group limit",
    scenario: {
      topology: "r6g.2xlarge",
      host: {
        modules: {
          nitro_enclaves: "unloaded",
          vsock: "unloaded",
          vmw_vsock_virtio_transport_common: "unloaded",
          vmw_vsock_virtio_transport: "unloaded",
        },
        cgroup: { path: UNIT, limits: { [UNIT]: { "hugetlb.2MB.max": "0" } } },
      },
    },
    failures: [
      { subject: "driver", text: "the driver is not loaded", fix: "modprobe nitro_enclaves" },
      { subject: "pool", text: /comes with the driver and is empty/, fix: "nitro pool --cpus 1" },
      { subject: "pages", text: /, 0 MiB free/, fix: "nitro pool --memory 128" },
      {
        subject: "cgroup",
        text: /allows 0 MiB more of huge pages/,
        fix: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
      { subject: "vsock", text: /vsock has no transport/, fix: "modprobe vmw_vsock_virtio_transport" },
    ],
  },
  {
    name: "an instance without enclaves, a wrong -smp, huge pages on the wrong node, and a cpuset",
    scenario: {
      topology: "c6i.24xlarge",
      pool: "24-25,72-73",
      host: {
        enclaveOption: false,
        nodes: [{ pages: { "2M": 128 } }],
        cgroup: { path: UNIT, limits: { [UNIT]: { "cpuset.mems": "0" } } },
      },
    },
    options: ["-smp", "3"],
    manualFix: "aws ec2 modify-instance-attribute --instance-id i-0 --enclave-options Enabled=true",
    manualFixAfter: 0,
    // The launch meets its own option first.
    launchReports: 1,
    failures: [
      { subject: "instance", text: /started without Nitro Enclaves/, fix: "" },
      { subject: "vcpus", text: /^-smp 3: an enclave needs whole cores/, fix: "-smp 4" },
      { subject: "pages", text: /128 of 128 pages of 2 MiB on node 0/, fix: "nitro pool --memory 128" },
      {
        subject: "cgroup",
        text: /allows memory of NUMA node 0 only/,
        fix: `echo 0-1 > /sys/fs/cgroup${UNIT}/cpuset.mems`,
      },
    ],
  },
  {
    name: "a user outside the group, no huge pages, and no directory for the pid file",
    scenario: {
      topology: "m5.xlarge",
      pool: "1,3",
      deviceGid: 990,
      files: { "/etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n" },
    },
    as: "setpriv --reuid 1000 --regid 1000 --init-groups",
    options: ["-pidfile", "run/app.pid"],
    // The test runs the printed commands as root.
    manualFix: "chmod 777 run",
    launchReports: 2,
    failures: [
      { subject: "device", text: /alice is not in it$/, fix: "sudo usermod -aG ne alice" },
      { subject: "pages", text: /, 0 MiB free/, fix: "sudo nitro pool --memory 128" },
      { subject: "files", text: "directory run/ does not exist", fix: "mkdir -p run/" },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, several problems: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});

describe.concurrent.skipIf(notHere !== undefined)("nitro check on a host that is ready", () => {
  const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };

  test(
    "nitro check: reports ok for every subject, and changes nothing: no driver call, no huge page, no file",
    async () => {
      const look = "ls -a; cat /proc/meminfo | grep Huge; cat /sys/module/nitro_enclaves/parameters/ne_cpus";
      const directory = mkdtempSync(here.path("ready-"));
      const script = `cd ${directory}; B=$(${look}); nitro check -json -kernel ${here.eif} -pidfile new.pid; echo $? >&2; [ "$B" = "$(${look})" ] || echo changed >&2`;
      const result = await launchAs({
        command: ["unshare", "-n", "sh", "-c", script],
        scenario: READY,
        env: { PATH: `${NITRO.replace(/\/[^/]*$/, "")}:${process.env["PATH"]}` },
        limitSeconds: 240,
      });
      const { ready, findings } = JSON.parse(result.stdout) as CheckJson;
      expect(result.stderr).toBe("0\n");
      expect(ready).toBe(true);
      expect(findings.filter(({ status }) => status !== "ok")).toEqual([]);
      expect(findings.map(({ subject }) => subject)).toEqual(
        [
          "instance",
          "kernel",
          "driver",
          "device",
          "vcpus",
          "pool",
          "enclaves",
          "image",
          "memory",
          "pages",
        ].concat([...["cgroup", "limits", "vsock", "port", "files"]]),
      );
      const called = new Set(result.trace.map(({ what }) => what));
      for (const what of ["NE_CREATE_VM", "memfd_create", "fallocate", "mmap", "listen", "set_mempolicy"])
        expect([what, called.has(what)]).toEqual([what, false]);
      expect(result.trace.filter(({ what, error }) => what === "write" && error === undefined)).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "nitro check: accepts the heartbeat port of a launch that shares it",
    async () => {
      const script =
        `nitro -kernel ${here.eif} -m 64M -smp 2 2>${here.path("first")} & ` +
        `until grep -q 'enclave started' ${here.path("first")}; do sleep 0.05; done; ` +
        `nitro check -json -kernel ${here.eif} -m 64M; kill $!; wait`;
      const result = await launchAs({
        command: ["unshare", "-n", "sh", "-c", script],
        scenario: {
          ...READY,
          topology: "m5.2xlarge",
          pool: "1-2,5-6",
          enclave: { heartbeatMs: null, liveMs: null },
        },
        env: { PATH: `${NITRO.replace(/\/[^/]*$/, "")}:${process.env["PATH"]}` },
        limitSeconds: 240,
      });
      const { ready, findings } = JSON.parse(result.stdout) as CheckJson;
      const textOf = (name: string) => findings.find(({ subject }) => subject === name)?.text;
      expect(ready).toBe(true);
      expect(textOf("port")).toMatch(/^vsock port 9000 is in use by nitro \(pid \d+\), which shares it$/);
      expect(textOf("enclaves")).toMatch(
        /^1 of at most 4 running: nitro \(pid \d+, CID 16, 2 vCPUs\); 2 CPUs of the pool are free, /,
      );
    },
    TEST_TIMEOUT_MS,
  );

  test("nitro check: -json is its own option, unless it is the argument of another", () => {
    const print = (...args: string[]) => Bun.spawnSync([NITRO, "check", ...args]).stdout.toString();
    const kernel = ["-kernel", here.eif];
    for (const args of [
      ["-json", ...kernel],
      [...kernel, "--json", "-S"],
    ]) {
      expect(JSON.parse(print(...args)).findings.length).toBeGreaterThan(5);
    }
    expect(print(...kernel, "-append", "-json")).toMatch(/^(ok|-|warn|FAIL) +instance /);
  });

  test("nitro check: reports wrong options exactly as a launch does", async () => {
    for (const args of [["-nosuch"], ["-m", "abc", "-kernel", "x"], ["-drive", "x"], ["x.eif"], []]) {
      const run = (all: string[]) => Bun.spawnSync([NITRO, ...all]);
      const [checked, launched] = [run(["check", ...args]), run(args)];
      if (args[0] === "x.eif")
        expect(checked.stderr.toString()).toContain("x.eif: QEMU reads an argument without a dash");
      else expect(checked.stderr.toString()).toBe(launched.stderr.toString());
      expect([checked.exitCode, checked.stdout.toString()]).toEqual([1, ""]);
    }
  });
});
