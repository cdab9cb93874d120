/** Hosts whose CPU pool does not suffice for the enclave. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectFixable, TEST_TIMEOUT_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** Two cores of two threads, including CPU 0's. */
const SMALL = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
/** Four cores. */
const LARGER = { topology: "m5.2xlarge", pool: "1,5", hugePages: 128 };

const HOSTS: readonly BrokenHost[] = [
  {
    name: "an empty pool",
    scenario: { ...SMALL, pool: "" },
    failures: [{ subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2" }],
  },
  {
    name: "an empty pool on two nodes, one of which has the pages",
    scenario: {
      topology: "c6i.24xlarge",
      host: { nodes: [{ pages: { "2M": 10 } }, { pages: { "2M": 100 } }] },
    },
    failures: [{ subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2 --node 1" }],
  },
  {
    name: "a pool with part of a core",
    scenario: { ...SMALL, pool: "1" },
    failures: [
      {
        subject: "pool",
        text: "the CPU pool 1 contains part of a core: CPU 3 is missing; enclaves need whole cores",
        fix: "nitro pool --cpus 2",
      },
    ],
  },
  {
    name: "a pool too small for -smp",
    scenario: LARGER,
    options: ["-smp", "4"],
    failures: [
      {
        subject: "pool",
        text: "-smp 4 needs 4 CPUs, but the CPU pool 1,5 has 2 (1 core)",
        fix: "nitro pool --cpus 4",
      },
    ],
  },
  {
    name: "an instance too small for -smp",
    scenario: SMALL,
    options: ["-smp", "4"],
    failures: [
      {
        subject: "pool",
        text: "-smp 4 needs 4 CPUs, but the CPU pool 1,3 has 2 (1 core)",
        fix: "-smp 2",
      },
    ],
  },
  {
    name: "-smp with part of a core",
    scenario: LARGER,
    options: ["-smp", "1"],
    failures: [
      {
        subject: "vcpus",
        text: "-smp 1: an enclave needs whole cores, which have 2 threads on this instance",
        fix: "-smp 2",
      },
    ],
  },
  {
    name: "cpu-ids= outside the pool",
    scenario: LARGER,
    options: ["-accel", "nitro,debug-mode=on,cpu-ids=2,,6"],
    failures: [
      {
        subject: "vcpus",
        text: "-accel cpu-ids=2,,6: CPUs 2,6 are not in the CPU pool, which is 1,5",
        fix: "nitro pool --cpu-list 1-2,5-6",
      },
    ],
  },
  {
    name: "cpu-ids= with an empty pool",
    scenario: { ...LARGER, pool: "" },
    options: ["-accel", "nitro,debug-mode=on,cpu-ids=2,,6"],
    failures: [
      {
        subject: "vcpus",
        text: "-accel cpu-ids=2,,6: CPUs 2,6 are not in the CPU pool, which is empty",
        fix: "nitro pool --cpu-list 2,6",
      },
      { subject: "pool", text: "the CPU pool is empty", fix: "nitro pool --cpus 2" },
    ],
  },
];

/** Starts an enclave with this many vCPUs before the check. */
const startEnclave = (smp: number, name: string) =>
  `nitro -name ${name} -accel nitro,heartbeat=none -kernel ${here.eif} -m 64M -smp ${smp} 2>${name} & echo $! >>pids; ` +
  `until grep -q ' started: ' ${name}; do sleep 0.05; done`;
const stopLastEnclave = "kill $(tail -n 1 pids); wait $(tail -n 1 pids)";
const LONG = { liveMs: null, heartbeatMs: null };

const CORES_IN_USE: readonly BrokenHost[] = [
  {
    name: "all cores of the pool used by an enclave",
    scenario: { ...SMALL, enclaves: [LONG] },
    before: startEnclave(2, "first"),
    manualFix: stopLastEnclave,
    failures: [
      {
        subject: "enclaves",
        text: /^all cores of the CPU pool 1,3 are used by 1 enclave: first \(nitro, pid \d+, CID 16, 2 vCPUs\)$/,
        fix: "",
      },
    ],
  },
  {
    name: "too few cores not used by an enclave",
    scenario: { ...LARGER, pool: "1-3,5-7", enclaves: [LONG] },
    before: startEnclave(4, "first"),
    manualFix: stopLastEnclave,
    options: ["-smp", "4"],
    failures: [
      {
        subject: "enclaves",
        text: /^-smp 4 needs 4 CPUs, but 2 of the CPU pool 1-3,5-7 are free; the others are used by 1 enclave: first \(nitro, pid \d+, CID 16, 4 vCPUs\)$/,
        fix: "",
      },
    ],
  },
  {
    name: "four enclaves",
    scenario: { topology: "r6g.2xlarge", pool: "1-7", hugePages: 400, enclaves: [LONG, LONG, LONG, LONG] },
    before: ["a", "b", "c", "d"].map((name) => startEnclave(1, name)).join("\n"),
    manualFix: stopLastEnclave,
    options: ["-smp", "1"],
    failures: [
      {
        subject: "enclaves",
        text: /^4 enclaves are running, the most that a parent instance can run: a \(nitro, pid \d+, CID 16, 1 vCPU\), b \(nitro, pid \d+, CID 17, /,
        fix: "",
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("nitro check, CPU pool: reports and fixes", () => {
  for (const host of [...HOSTS, ...CORES_IN_USE])
    test(
      `nitro check: reports ${host.name}, with a fix that works`,
      () => expectFixable(here, host),
      TEST_TIMEOUT_MS,
    );
});
