/** Hosts with several faults: check names all of them at once, and all mends together let the launch pass. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { launchAs, NITRO, notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, type CheckJson, expectMended, PATIENCE_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const UNIT = "/system.slice/enclave.service";

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a fresh instance: neither pool nor pages",
    scenario: { topology: "m5.xlarge" },
    launchNames: 1,
    faults: [
      { subject: "pool", text: "the CPU pool is empty", mend: "nitro pool --cpus 2" },
      { subject: "pages", text: /0M of it can be had/, mend: "nitro pool --memory 128" },
    ],
  },
  {
    name: "a fresh instance of two nodes",
    scenario: { topology: "c6i.24xlarge" },
    launchSays:
      /^nitro: -m 128M: 0M of it can be had.*\nhint: the CPU pool is empty.*nitro pool --cpus 2 --memory 128$/m,
    faults: [
      { subject: "pool", text: "the CPU pool is empty", mend: "nitro pool --cpus 2 --node 0 --memory 128" },
      {
        subject: "pages",
        text: /^-m 128M: no NUMA node has enough huge pages \(node 0: none reserved, /,
        mend: "nitro pool --cpus 2 --node 0 --memory 128",
      },
    ],
  },
  {
    name: "a fresh Graviton with the driver unloaded, no vsock loaded, and a limit of the control group",
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
    faults: [
      { subject: "driver", text: "the driver is not loaded", mend: "modprobe nitro_enclaves" },
      { subject: "pool", text: /comes with the driver/, mend: "nitro pool --cpus 1" },
      { subject: "pages", text: /0M of it can be had/, mend: "nitro pool --memory 128" },
      {
        subject: "cgroup",
        text: /leaves 0M of huge pages/,
        mend: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
      { subject: "vsock", text: /nothing carries vsock/, mend: "modprobe vmw_vsock_virtio_transport" },
    ],
  },
  {
    name: "an instance without enclaves, the wrong -smp, pages on the wrong node, and a cpuset",
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
    // The launch has met its own words first.
    launchNames: 1,
    faults: [
      { subject: "instance", text: /started without Nitro Enclaves/, mend: /^aws ec2 / },
      { subject: "vcpus", text: /^-smp 3: an enclave takes whole cores/, mend: "-smp 4" },
      { subject: "pages", text: /128 of 128 pages of 2 MiB on node 0/, mend: "nitro pool --memory 128" },
      {
        subject: "cgroup",
        text: /leaves out NUMA node 1/,
        mend: `echo 0-1 > /sys/fs/cgroup${UNIT}/cpuset.mems`,
      },
    ],
  },
  {
    name: "a user without group, pages, and a directory for the pid file",
    scenario: {
      topology: "m5.xlarge",
      pool: "1,3",
      deviceGid: 990,
      files: { "/etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n" },
    },
    as: "setpriv --reuid 1000 --regid 1000 --init-groups",
    options: ["-pidfile", "run/app.pid"],
    // Made by root, who gives it away.
    byHand: "chmod 777 run",
    launchNames: 2,
    faults: [
      { subject: "device", text: /alice is not in$/, mend: "sudo usermod -aG ne alice" },
      { subject: "pages", text: /0M of it can be had/, mend: "sudo nitro pool --memory 128" },
      { subject: "files", text: "there is no directory run/", mend: "mkdir -p run/" },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("several faults", () => {
  for (const host of HOSTS)
    test(host.name, () => expectMended(here, host).then(() => undefined), PATIENCE_MS);
});

describe.concurrent.skipIf(notHere !== undefined)("a host that is ready", () => {
  const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };

  test(
    "has nothing but good lines, status 0, and is as it was: no call of the driver, no page, no file",
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
    PATIENCE_MS,
  );

  test(
    "may share the port with a launch that runs",
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
      expect(textOf("port")).toMatch(
        /^vsock port 9000 is held by launches of nitro's, which share it \(process \d+\)$/,
      );
      expect(textOf("enclaves")).toMatch(
        /^1 of 4 run: nitro \(process \d+, 2 vCPUs\); by that 2 CPUs are left, /,
      );
    },
    PATIENCE_MS,
  );

  test("-json is this command's own, unless it is what an option is given", () => {
    const print = (...words: string[]) => Bun.spawnSync([NITRO, "check", ...words]).stdout.toString();
    const kernel = ["-kernel", here.eif];
    for (const words of [
      ["-json", ...kernel],
      [...kernel, "--json", "-S"],
    ]) {
      expect(JSON.parse(print(...words)).findings.length).toBeGreaterThan(5);
    }
    expect(print(...kernel, "-append", "-json")).toMatch(/^(ok|-|warn|FAIL) +instance /);
  });

  test("words that are wrong are told as a launch tells them", async () => {
    for (const words of [["-nosuch"], ["-m", "abc", "-kernel", "x"], ["-drive", "x"], ["x.eif"], []]) {
      const run = (all: string[]) => Bun.spawnSync([NITRO, ...all]);
      const [checked, launched] = [run(["check", ...words]), run(words)];
      if (words[0] === "x.eif") expect(checked.stderr.toString()).toContain("x.eif: a word without a dash");
      else expect(checked.stderr.toString()).toBe(launched.stderr.toString());
      expect([checked.exitCode, checked.stdout.toString()]).toEqual([1, ""]);
    }
  });
});
