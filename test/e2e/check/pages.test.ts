/** Hosts whose huge pages do not suffice for the enclave. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const ONE_NODE = { topology: "m5.xlarge", pool: "1,3" };
/** The pool is on node 0. */
const TWO_NODES = { topology: "c6i.24xlarge", pool: "2,50" };

const HOSTS: readonly BrokenHost[] = [
  {
    name: "no huge pages",
    scenario: ONE_NODE,
    failures: [
      {
        subject: "pages",
        text: "-m 128M: not enough huge pages: need 128 MiB, 0 MiB free (0 of 0 pages of 2 MiB)",
        fix: "nitro pool --memory 128",
      },
    ],
  },
  {
    name: "too few huge pages",
    scenario: { ...ONE_NODE, hugePages: 40 },
    failures: [
      {
        subject: "pages",
        text: "-m 128M: not enough huge pages: need 128 MiB, 80 MiB free (40 of 40 pages of 2 MiB)",
        fix: "nitro pool --memory 128",
      },
    ],
  },
  {
    name: "huge pages used by other processes",
    pagesInUse: 70,
    scenario: { ...ONE_NODE, host: { nodes: [{ pages: { "2M": { total: 100, used: 70 } } }] } },
    failures: [
      {
        subject: "pages",
        text: "-m 128M: not enough huge pages: need 128 MiB, 60 MiB free (30 of 100 pages of 2 MiB)",
        fix: "nitro pool --memory 268",
      },
    ],
  },
  {
    name: "huge pages reserved by other processes",
    scenario: { ...ONE_NODE, host: { nodes: [{ pages: { "2M": { total: 100, reserved: 90 } } }] } },
    failures: [
      {
        subject: "pages",
        text: "-m 128M: not enough huge pages: need 128 MiB, 20 MiB free (10 of 100 pages of 2 MiB)",
        fix: "nitro pool --memory 308",
      },
    ],
  },
  {
    name: "all huge pages on the other node",
    scenario: { ...TWO_NODES, host: { nodes: [{}, { pages: { "2M": 200 } }] } },
    failures: [
      {
        subject: "pages",
        text:
          "-m 128M: not enough huge pages: need 128 MiB, 0 MiB free (0 of 0 pages of 2 MiB) on NUMA node 0, where the CPU pool is; " +
          "the driver does not accept pages of other nodes (200 of 200 pages of 2 MiB on node 1)",
        fix: "nitro pool --memory 128",
      },
    ],
  },
  {
    name: "enough huge pages only on both nodes together",
    scenario: { ...TWO_NODES, host: { nodes: [{ pages: { "2M": 40 } }, { pages: { "2M": 40 } }] } },
    failures: [
      {
        subject: "pages",
        text: /need 128 MiB, 80 MiB free \(40 of 40 .* on NUMA node 0/,
        fix: "nitro pool --memory 128",
      },
    ],
  },
  {
    name: "no pool yet, and one node with enough memory",
    scenario: { ...TWO_NODES, pool: "", host: { nodes: [{ pages: { "2M": 20 } }, { pages: { "2M": 50 } }] } },
    failures: [
      { subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2 --node 1 --memory 128" },
      {
        subject: "pages",
        text: /^-m 128M: no NUMA node has enough free huge pages \(node 0: 20 of 20 of 2 MiB free, .*; node 1: 50 of 50 /,
        fix: "nitro pool --cpus 2 --node 1 --memory 128",
      },
    ],
  },
  {
    name: "hugetlbsize=1G without 1 GiB pages",
    scenario: { ...ONE_NODE, hugePages: 600 },
    options: [
      ...["-object", "memory-backend-memfd,id=m,size=1G,hugetlbsize=1G"],
      ...["-machine", "memory-backend=m", "-m", "1G"],
    ],
    failures: [
      {
        subject: "pages",
        text: /, 0 MiB free \(0 of 0 pages of 1 GiB\)$/,
        fix: "echo 1 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
      },
    ],
  },
  {
    name: "hugetlbsize=1G on a kernel without 1 GiB pages",
    scenario: { ...ONE_NODE, hugePages: 600, host: { hugePageSizes: ["2M"] } },
    options: [
      ...["-object", "memory-backend-memfd,id=m,size=1G,hugetlbsize=1G"],
      ...["-machine", "memory-backend=m", "-m", "1G"],
    ],
    relaunch: ["-m", "1G"],
    failures: [
      {
        subject: "pages",
        text: "this kernel has no huge pages of 1 GiB (/sys/kernel/mm/hugepages: 2 MiB)",
        fix: "",
      },
    ],
  },
  {
    name: "32 MiB pages that do not suffice",
    scenario: {
      topology: "r6g.2xlarge",
      pool: "1-2",
      host: { nodes: [{ pages: { "32M": 3, "64K": 9000 } }] },
    },
    failures: [
      {
        subject: "pages",
        text:
          "-m 128M: not enough huge pages: need 128 MiB, 96 MiB free " +
          "(3 of 3 pages of 32 MiB, 0 of 0 pages of 2 MiB)",
        fix: "nitro pool --memory 128",
      },
    ],
  },
  {
    name: "hugetlbsize=512M on a kernel without 512 MiB pages",
    scenario: { topology: "r6g.2xlarge", pool: "1-2", hugePages: 300 },
    options: [
      ...["-object", "memory-backend-memfd,id=m,size=512M,hugetlbsize=512M"],
      ...["-machine", "memory-backend=m", "-m", "512M"],
    ],
    relaunch: ["-m", "512M"],
    failures: [
      {
        subject: "pages",
        text: "this kernel has no huge pages of 512 MiB (/sys/kernel/mm/hugepages: 1 GiB, 32 MiB, 2 MiB, 64 KiB)",
        fix: "",
      },
    ],
  },
  {
    name: "fragmented memory",
    scenario: {
      ...ONE_NODE,
      host: { nodes: [{ pages: { "2M": { total: 10, obtainable: 20, obtainableCompacted: 500 } } }] },
    },
    failures: [{ subject: "pages", text: /need 128 MiB, 20 MiB free/, fix: "nitro pool --memory 128" }],
  },
  {
    name: "memory full of page cache",
    scenario: { ...ONE_NODE, host: { nodes: [{ freeMiB: 60, cachedMiB: 4000 }] } },
    failures: [
      {
        subject: "pages",
        text: /, 0 MiB free/,
        fix: "sync; echo 3 > /proc/sys/vm/drop_caches; nitro pool --memory 128",
      },
    ],
  },
  {
    name: "more than the instance has",
    scenario: { ...ONE_NODE, hugePages: 100 },
    options: ["-m", "20G"],
    failures: [
      {
        subject: "pages",
        text: /^-m 20G: not enough huge pages: need 20480 MiB, 200 MiB free .*; not enough memory is free to reserve more$/,
        fix: "-m 200M",
      },
    ],
  },
  {
    name: "nearly all of the free memory, which would leave the parent too little",
    scenario: { ...ONE_NODE, host: { nodes: [{ freeMiB: 1000 }] } },
    options: ["-m", "980M"],
    failures: [
      {
        subject: "pages",
        text: /not enough memory is free to reserve more$/,
        fix: "nitro pool --memory 900 | -m 900M",
      },
    ],
  },
  {
    name: "more than the node has, and no huge pages",
    scenario: { ...TWO_NODES, host: { nodes: [{ freeMiB: 300 }, {}] } },
    options: ["-m", "1G"],
    failures: [
      {
        subject: "pages",
        text: /not enough memory is free to reserve more/,
        fix: "nitro pool --memory 270 | -m 270M",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, huge pages: reports and fixes", () => {
  for (const host of HOSTS)
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
