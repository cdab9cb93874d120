/** Hosts with sufficient resources that a limit makes unavailable to the launch. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
/** The pool is on node 1. */
const TWO_NODES = { topology: "c6i.24xlarge", pool: "24,72", hugePages: 256 };
const UNIT = "/system.slice/enclave.service";
const MIB = 2 ** 20;
const group = (path: string, limits: Record<string, Record<string, string>>, version: 1 | 2 = 2) => ({
  cgroup: { version, path, limits },
});

const HOSTS: readonly BrokenHost[] = [
  {
    name: "a control group limit on huge pages (version 2)",
    scenario: { ...READY, host: group(UNIT, { [UNIT]: { "hugetlb.2MB.max": `${64 * MIB}` } }) },
    failures: [
      {
        subject: "cgroup",
        text:
          `control group ${UNIT} allows 64 MiB more of huge pages, 128 MiB needed ` +
          `(/sys/fs/cgroup${UNIT}/hugetlb.2MB.max is 64 MiB)`,
        fix: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
    ],
  },
  {
    name: "the limit of a parent control group",
    scenario: { ...READY, host: group(UNIT, { "/system.slice": { "hugetlb.2MB.max": "0" } }) },
    failures: [
      {
        subject: "cgroup",
        text: /^control group \/system.slice allows 0 MiB more of huge pages/,
        fix: "echo max > /sys/fs/cgroup/system.slice/hugetlb.2MB.max",
      },
    ],
  },
  {
    name: "a control group limit on huge page reservations",
    scenario: { ...READY, host: group(UNIT, { [UNIT]: { "hugetlb.2MB.rsvd.max": `${32 * MIB}` } }) },
    failures: [
      {
        subject: "cgroup",
        text: /allows 32 MiB more of huge pages.*rsvd\.max is 32 MiB/,
        fix: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.rsvd.max`,
      },
    ],
  },
  {
    name: "limits in a control group and in its parent",
    scenario: {
      ...READY,
      host: group(UNIT, {
        "/system.slice": { "hugetlb.2MB.max": `${100 * MIB}` },
        [UNIT]: { "hugetlb.2MB.max": "0" },
      }),
    },
    failures: [
      {
        subject: "cgroup",
        text: /^control group \/system.slice allows 100 MiB more/,
        fix:
          "echo max > /sys/fs/cgroup/system.slice/hugetlb.2MB.max && " +
          `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
    ],
  },
  {
    name: "a control group limit on huge pages (version 1)",
    scenario: {
      ...READY,
      host: group("/docker/4711", { "/docker": { "hugetlb.2MB.limit_in_bytes": "0" } }, 1),
    },
    failures: [
      {
        subject: "cgroup",
        text: /^control group \/docker allows 0 MiB more of huge pages/,
        fix: "echo -1 > /sys/fs/cgroup/hugetlb/docker/hugetlb.2MB.limit_in_bytes",
      },
    ],
  },
  {
    name: "a cpuset without the pool's node (version 2)",
    scenario: { ...TWO_NODES, host: group(UNIT, { "/system.slice": { "cpuset.mems": "0" } }) },
    failures: [
      {
        subject: "cgroup",
        text:
          "the cpuset of control group /system.slice allows memory of NUMA node 0 only, " +
          "but the CPU pool is on node 1",
        fix: "echo 0-1 > /sys/fs/cgroup/system.slice/cpuset.mems",
      },
    ],
  },
  {
    name: "a cpuset without the pool's node (version 1)",
    scenario: { ...TWO_NODES, host: group("/box", { "/box": { "cpuset.mems": "0" } }, 1) },
    failures: [
      {
        subject: "cgroup",
        text: /^the cpuset of control group \/box allows memory of NUMA node 0 only, but the CPU pool is on node 1$/,
        fix: "echo 0-1 > /sys/fs/cgroup/cpuset/box/cpuset.mems",
      },
    ],
  },
  {
    name: "the limit of open files",
    scenario: READY,
    options: ["-pidfile", "launch.pid", "-d", "syscalls", "-D", "trace"],
    // A hard limit, since the runtime raises the soft limit by itself. Not every root may raise a hard limit.
    as: "prlimit --nofile=12:12",
    fixedAs: "",
    failures: [
      {
        subject: "limits",
        text: "the limit of open files is 12, too low for a launch",
        fix: /^(ulimit -n 1024)?$/,
      },
    ],
  },
  {
    name: "the file size limit",
    scenario: READY,
    before: "ulimit -S -f 65536",
    failures: [
      {
        subject: "limits",
        text: "the file size limit is 32 MiB, but the enclave's memory, a file of huge pages, has 128 MiB",
        fix: "ulimit -f unlimited",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, limits: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
