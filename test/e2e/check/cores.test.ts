/** Hosts whose CPU pool does not do for the enclave. */
import { afterAll, describe, test } from "bun:test";
import { notHere, Workplace } from "../launch/nitro.ts";
import { type BrokenHost, expectMended, PATIENCE_MS } from "./broken-host.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

/** Two cores of two threads, CPU 0's among them. */
const SMALL = { topology: "m5.xlarge", pool: "1,3", hugePages: 128 };
/** Four cores. */
const LARGER = { topology: "m5.2xlarge", pool: "1,5", hugePages: 128 };

const HOSTS: readonly BrokenHost[] = [
  {
    name: "an empty pool",
    scenario: { ...SMALL, pool: "" },
    faults: [{ subject: "pool", text: "the CPU pool is empty", mend: "nitro pool --cpus 2" }],
  },
  {
    name: "an empty pool on two nodes, one of which has the pages",
    scenario: {
      topology: "c6i.24xlarge",
      host: { nodes: [{ pages: { "2M": 10 } }, { pages: { "2M": 100 } }] },
    },
    faults: [{ subject: "pool", text: "the CPU pool is empty", mend: "nitro pool --cpus 2 --node 1" }],
  },
  {
    name: "a part of a core in the pool",
    scenario: { ...SMALL, pool: "1" },
    faults: [
      {
        subject: "pool",
        text: "the CPU pool 1 has a part of a core: CPU 3 is missing, and enclaves take whole cores",
        mend: "nitro pool --cpus 2",
      },
    ],
  },
  {
    name: "a pool too small for -smp",
    scenario: LARGER,
    options: ["-smp", "4"],
    faults: [
      {
        subject: "pool",
        text: "-smp 4 needs 4 CPUs, and the CPU pool 1,5 has 2 (1 core)",
        mend: "nitro pool --cpus 4",
      },
    ],
  },
  {
    name: "an instance too small for -smp",
    scenario: SMALL,
    options: ["-smp", "4"],
    faults: [
      {
        subject: "pool",
        text: "-smp 4 needs 4 CPUs, and the CPU pool 1,3 has 2 (1 core)",
        mend: "-smp 2",
      },
    ],
  },
  {
    name: "a part of a core asked for",
    scenario: LARGER,
    options: ["-smp", "1"],
    faults: [
      {
        subject: "vcpus",
        text: "-smp 1: an enclave takes whole cores, which have 2 threads on this machine",
        mend: "-smp 2",
      },
    ],
  },
  {
    name: "CPUs picked by hand that are not in the pool",
    scenario: LARGER,
    options: ["-accel", "nitro,debug-mode=on,cpu-ids=2,,6"],
    faults: [
      {
        subject: "vcpus",
        text: "-accel cpu-ids=2,,6: CPUs 2,6 are not in the CPU pool, which is 1,5",
        mend: "nitro pool --cpu-list 1-2,5-6",
      },
    ],
  },
  {
    name: "CPUs picked by hand out of an empty pool",
    scenario: { ...LARGER, pool: "" },
    options: ["-accel", "nitro,debug-mode=on,cpu-ids=2,,6"],
    faults: [
      {
        subject: "vcpus",
        text: "-accel cpu-ids=2,,6: CPUs 2,6 are not in the CPU pool, which is empty",
        mend: "nitro pool --cpu-list 2,6",
      },
      { subject: "pool", text: "the CPU pool is empty", mend: "nitro pool --cpus 2" },
    ],
  },
];

/** An enclave of nitro's that is started first, with this pool and so many vCPUs. */
const running = (smp: number, name: string) =>
  `nitro -accel nitro,heartbeat=none -kernel ${here.eif} -m 64M -smp ${smp} 2>${name} & echo $! >>pids; ` +
  `until grep -q 'enclave started' ${name}; do sleep 0.05; done`;
const LONG = { liveMs: null, heartbeatMs: null };

const TAKEN: readonly BrokenHost[] = [
  {
    name: "all cores of the pool taken by an enclave",
    scenario: { ...SMALL, enclaves: [LONG] },
    before: running(2, "first"),
    faults: [
      {
        subject: "enclaves",
        text: /^no core of the CPU pool 1,3 is left; 1 enclave runs: nitro \(process \d+, 2 vCPUs\)$/,
        mend: /^kill \d+$/,
      },
    ],
  },
  {
    name: "too few cores left by an enclave",
    scenario: { ...LARGER, pool: "1-3,5-7", enclaves: [LONG] },
    before: running(4, "first"),
    options: ["-smp", "4"],
    faults: [
      {
        subject: "enclaves",
        text: /^2 CPUs of the CPU pool 1-3,5-7 are left, and -smp 4 needs 4; 1 enclave runs: nitro \(process \d+, 4 vCPUs\)$/,
        mend: /^kill \d+$/,
      },
    ],
  },
  {
    name: "four enclaves",
    scenario: { topology: "r6g.2xlarge", pool: "1-7", hugePages: 400, enclaves: [LONG, LONG, LONG, LONG] },
    before: ["a", "b", "c", "d"].map((name) => running(1, name)).join("\n"),
    options: ["-smp", "1"],
    faults: [
      {
        subject: "enclaves",
        text: /^a parent instance runs 4 enclaves at the most, and 4 enclaves run: nitro \(process \d+, 1 vCPU\), nitro /,
        mend: /^kill \d+$/,
      },
    ],
  },
];

describe.concurrent.skipIf(notHere !== undefined)("cores", () => {
  for (const host of [...HOSTS, ...TAKEN])
    test(host.name, () => expectMended(here, host).then(() => undefined), PATIENCE_MS);
});
