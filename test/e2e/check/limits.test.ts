/** Hosts where a limit keeps from a launch what is there. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectMended, PATIENCE_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const READY = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
/** Its pool on node 1. */
const TWO_NODES = { topology: "c6i.24xlarge", pool: "24,72", hugePages: 256 };
const UNIT = "/system.slice/enclave.service";
const MIB = 2 ** 20;
const group = (path: string, limits: Record<string, Record<string, string>>, version: 1 | 2 = 2) => ({
  cgroup: { version, path, limits },
});

const HOSTS: readonly BrokenHost[] = [
  {
    name: "huge pages of the control group (version 2)",
    scenario: { ...READY, host: group(UNIT, { [UNIT]: { "hugetlb.2MB.max": `${64 * MIB}` } }) },
    faults: [
      {
        subject: "cgroup",
        text:
          `the control group ${UNIT} leaves 64M of huge pages (/sys/fs/cgroup${UNIT}/hugetlb.2MB.max is 64M), ` +
          "and 128M are needed",
        mend: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
    ],
  },
  {
    name: "huge pages of a control group above it",
    scenario: { ...READY, host: group(UNIT, { "/system.slice": { "hugetlb.2MB.max": "0" } }) },
    faults: [
      {
        subject: "cgroup",
        text: /^the control group \/system.slice leaves 0M of huge pages/,
        mend: "echo max > /sys/fs/cgroup/system.slice/hugetlb.2MB.max",
      },
    ],
  },
  {
    name: "reservations of huge pages",
    scenario: { ...READY, host: group(UNIT, { [UNIT]: { "hugetlb.2MB.rsvd.max": `${32 * MIB}` } }) },
    faults: [
      {
        subject: "cgroup",
        text: /leaves 32M of huge pages .*rsvd\.max is 32M/,
        mend: `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.rsvd.max`,
      },
    ],
  },
  {
    name: "two groups of one branch",
    scenario: {
      ...READY,
      host: group(UNIT, {
        "/system.slice": { "hugetlb.2MB.max": `${100 * MIB}` },
        [UNIT]: { "hugetlb.2MB.max": "0" },
      }),
    },
    faults: [
      {
        subject: "cgroup",
        text: /^the control group \/system.slice leaves 100M/,
        mend:
          "echo max > /sys/fs/cgroup/system.slice/hugetlb.2MB.max && " +
          `echo max > /sys/fs/cgroup${UNIT}/hugetlb.2MB.max`,
      },
    ],
  },
  {
    name: "huge pages of the control group (version 1)",
    scenario: {
      ...READY,
      host: group("/docker/4711", { "/docker": { "hugetlb.2MB.limit_in_bytes": "0" } }, 1),
    },
    faults: [
      {
        subject: "cgroup",
        text: /^the control group \/docker leaves 0M of huge pages/,
        mend: "echo -1 > /sys/fs/cgroup/hugetlb/docker/hugetlb.2MB.limit_in_bytes",
      },
    ],
  },
  {
    name: "a cpuset without the pool's node (version 2)",
    scenario: { ...TWO_NODES, host: group(UNIT, { "/system.slice": { "cpuset.mems": "0" } }) },
    faults: [
      {
        subject: "cgroup",
        text:
          "the cpuset of the control group /system.slice leaves out NUMA node 1, where the CPU pool is: " +
          "memory comes from node 0 only",
        mend: "echo 0-1 > /sys/fs/cgroup/system.slice/cpuset.mems",
      },
    ],
  },
  {
    name: "a cpuset without the pool's node (version 1)",
    scenario: { ...TWO_NODES, host: group("/box", { "/box": { "cpuset.mems": "0" } }, 1) },
    faults: [
      {
        subject: "cgroup",
        text: /^the cpuset of the control group \/box leaves out NUMA node 1/,
        mend: "echo 0-1 > /sys/fs/cgroup/cpuset/box/cpuset.mems",
      },
    ],
  },
  {
    name: "open files",
    scenario: READY,
    options: ["-pidfile", "launch.pid", "-d", "syscalls", "-D", "trace"],
    // A hard limit, for the runtime raises the soft one by itself; not every root may raise it again.
    as: "prlimit --nofile=12:12",
    mendedAs: "",
    faults: [
      {
        subject: "limits",
        text: "the limit of open files is 12, too low for a launch to be sure of its own",
        mend: /^(ulimit -n 1024)?$/,
      },
    ],
  },
  {
    name: "a file's size",
    scenario: READY,
    before: "ulimit -S -f 65536",
    faults: [
      {
        subject: "limits",
        text: "the limit of a file's size is 32M, and the enclave's memory, a file of huge pages, has 128M",
        mend: "ulimit -f unlimited",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("limits", () => {
  for (const host of HOSTS)
    test(host.name, () => expectMended(here, host).then(() => undefined), PATIENCE_MS);
});
