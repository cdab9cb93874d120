import { describe, expect, test } from "bun:test";
import { diagnoseIoctl, type LaunchNumbers } from "../../../src/enclave/ne-errors.ts";
import { SyscallError } from "../../../src/sys/errors.ts";
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import { NE_ERRORS } from "../../../src/sys/linux/nitro_enclaves.ts";

const NUMBERS: LaunchNumbers = {
  smp: "-smp 6",
  vcpus: 6,
  vcpusAdded: 4,
  memory: "-m 513M",
  memoryBytes: 513 * 2 ** 20,
  pages: "777 huge pages of 2 MiB",
  node: 1,
  cid: 4242n,
  pool: "2-5",
  threadsPerCore: 2,
  eifPath: "/images/web.eif",
  signed: true,
  debugMode: true,
};

const IOCTLS = [
  "NE_CREATE_VM",
  "NE_ADD_VCPU",
  "NE_GET_IMAGE_LOAD_INFO",
  "NE_SET_USER_MEMORY_REGION",
  "NE_START_ENCLAVE",
] as const;

function message(call: string, errno: number, over: Partial<LaunchNumbers> = {}) {
  const { what, why, hint } = diagnoseIoctl(new SyscallError(call, errno, ""), { ...NUMBERS, ...over });
  return { what, why, hint, all: `${what}: ${why}\n${hint}` };
}

const DRIVER_ROWS = Object.entries(NE_ERRORS).flatMap(([name, code]) =>
  IOCTLS.map((call) => [call, name, code] as const),
);

describe("selected CPUs", () => {
  const cpuIds = [2, 3, 4, 5, 8, 9];
  const add = (errno: number) =>
    message("NE_ADD_VCPU", errno, { cpuIds, smp: "-accel nitro,cpu-ids=2-5,,8-9" });

  test.each([
    [256, "CPU 8 (cpu-ids) already belongs to this enclave (after 4 of 6 vCPUs)", "report"],
    [
      257,
      "CPU 8 (cpu-ids) is not in the pool, or its core is in use by another enclave; the CPU pool is 2-5",
      "select another core",
    ],
    [258, "CPU 8 (cpu-ids) is on a core that the driver cannot use; the CPU pool is 2-5", "dmesg"],
    [271, "CPU 8 (cpu-ids) is beyond this machine's CPUs; the CPU pool is 2-5", "lscpu"],
  ])("cpu-ids: %d names the refused CPU", (errno, why, hint) => {
    expect(add(errno).why).toBe(why);
    expect(add(errno).hint).toContain(hint);
  });
});

test("regions: their number is reported if it is known", () => {
  const known = message("NE_SET_USER_MEMORY_REGION", 265, { regions: 700 });
  expect(known.why).toEndWith("than the driver accepts: 700 regions, even in physical order");
  expect(known.hint).not.toContain("CAP_SYS_ADMIN");
  const unknown = message("NE_SET_USER_MEMORY_REGION", 265);
  expect(unknown.why).toEndWith("(-m 513M) are fragmented into more regions than the driver accepts");
  expect(unknown.hint).toContain("as root (CAP_SYS_ADMIN) nitro maps them in physical order");
});

describe("driver error codes", () => {
  test.each(DRIVER_ROWS)("driver error: %s: %s", (call, name, code) => {
    const { what, why, hint } = message(call, code);
    expect(what).toBe(`${call} failed with ${name} (${code})`);
    expect(why.length).toBeGreaterThan(15);
    expect(hint?.length).toBeGreaterThan(10);
    expect(`${why}${hint}`).not.toMatch(/undefined|NaN|\[object/);
  });

  /** The user's own options and numbers that each must have. */
  test.each([
    [256, "NE_ADD_VCPU", ["4 of 6 vCPUs"]],
    [257, "NE_ADD_VCPU", ["pool is 2-5", "nitro pool --cpus 6 "]],
    [258, "NE_ADD_VCPU", ["pool is 2-5", "dmesg"]],
    [259, "NE_SET_USER_MEMORY_REGION", ["-m 513M", `${513 * 2 ** 20} bytes`, "-m 514M"]],
    [263, "NE_SET_USER_MEMORY_REGION", ["-m 513M", "costs one huge page"]],
    [264, "NE_SET_USER_MEMORY_REGION", ["777", "NUMA", "on node 1", "numactl", "costs one huge page"]],
    [265, "NE_SET_USER_MEMORY_REGION", ["777", "-m 513M"]],
    [268, "NE_START_ENCLAVE", ["-m 513M", "64 MiB", "-m 64M"]],
    [269, "NE_START_ENCLAVE", ["-smp 6", "more threads than CPU 0's (2)", "use -smp 8;"]],
    [271, "NE_ADD_VCPU", ["pool is 2-5", "lscpu"]],
    [272, "NE_CREATE_VM", ["-smp 6", "pool is 2-5", "all of it in use", "nitro pool --cpus 6 "]],
    [272, "NE_ADD_VCPU", ["4 of 6 vCPUs", "-smp 6", "pool is 2-5"]],
    [275, "NE_START_ENCLAVE", ["4242", "enclave-cid"]],
  ])("driver error: %d from %s is reported in the user's numbers", (code, call, args) => {
    const { all } = message(call, code);
    for (const word of args) expect(all).toContain(word);
  });

  test("driver error: a core that another launch has just taken is reported as such", () => {
    expect(message("NE_ADD_VCPU", 272, { vcpusAdded: 0 }).why).toBe(
      "no CPU is left in the pool after 0 of 6 vCPUs (-smp 6): another launch has just taken the last core; " +
        "the CPU pool is 2-5",
    );
  });

  test("driver error: the certificate is mentioned only if the image is signed", () => {
    const { EINVAL } = ERRNO;
    expect(message("NE_START_ENCLAVE", EINVAL, { cid: 0n }).why).toBe(
      "image not accepted (/images/web.eif, or its signing certificate)",
    );
    expect(message("NE_START_ENCLAVE", EINVAL, { signed: false }).why).toEndWith(
      "image not accepted (/images/web.eif), or CID 4242 is in use by another enclave",
    );
  });

  test("driver error: an empty pool and an unreadable pool are reported", () => {
    expect(message("NE_CREATE_VM", 272, { pool: "" }).why).toBe(
      "the pool has no free core (-smp 6); the CPU pool is empty",
    );
    expect(message("NE_CREATE_VM", 272, { pool: undefined }).why).toBe(
      "the pool has no free core (-smp 6); the CPU pool cannot be read (/sys/module/nitro_enclaves/parameters/ne_cpus)",
    );
  });

  test("driver error: the next possible number of vCPUs is whole cores of two threads", () => {
    expect(message("NE_START_ENCLAVE", 269, { vcpus: 1, threadsPerCore: 1 }).hint).toStartWith("use -smp 2;");
    expect(message("NE_START_ENCLAVE", 269, { vcpus: 2, threadsPerCore: 1 }).hint).toStartWith("use -smp 4;");
    expect(message("NE_START_ENCLAVE", 269, { vcpus: 3, threadsPerCore: 2 }).why).toContain(
      "cores have 2 threads here",
    );
  });

  test("driver error: an error that only a bug of nitro can cause asks for a report", () => {
    for (const code of [256, 260, 261, 262, 266, 267, 270, 274]) {
      expect(message("NE_START_ENCLAVE", code).hint).toContain("please report it");
    }
  });
});

const PLAIN_ROWS = Object.entries(ERRNO).flatMap(([name, errno]) =>
  IOCTLS.map((call) => [call, name, errno] as const),
);

describe("plain errnos", () => {
  test.each(PLAIN_ROWS)("errno: %s: %s", (call, name, errno) => {
    const { what, why, hint, all } = message(call, errno);
    expect(what).toMatch(new RegExp(`^(${call}|the hypervisor refused to start the enclave)`));
    expect(all).toContain(`(${name})`);
    expect(why.length).toBeGreaterThan(5);
    expect(hint?.length).toBeGreaterThan(10);
    expect(all).not.toMatch(/undefined|NaN|\[object/);
  });

  test("errno: one without a name is printed as a number, with a hint", () => {
    const { all, hint } = message("NE_CREATE_VM", 999);
    expect(all).toContain("999");
    expect(hint).toContain("dmesg");
  });

  test.each([
    ["NE_START_ENCLAVE", "EINVAL", "/images/web.eif"],
    ["NE_START_ENCLAVE", "EINVAL", "CID 4242 is in use by another enclave"],
    ["NE_START_ENCLAVE", "ETIMEDOUT", "120 seconds"],
    ["NE_CREATE_VM", "ETIMEDOUT", "120 seconds"],
    ["NE_CREATE_VM", "EBUSY", "at most four run on a parent instance at a time"],
    ["NE_SET_USER_MEMORY_REGION", "EFAULT", "a huge page of -m 513M could not be allocated"],
    ["NE_ADD_VCPU", "EFAULT", "could not reach the program's memory"],
    ["NE_SET_USER_MEMORY_REGION", "EIO", "another process"],
    ["NE_CREATE_VM", "EMFILE", "ulimit -n"],
    ["NE_CREATE_VM", "ENOTTY", "not the Nitro Enclaves device"],
  ] as const)("errno: %s: %s tells %s", (call, name, args) => {
    expect(message(call, ERRNO[name]).all).toContain(args);
  });

  test("errno: the CID is mentioned only if the user has chosen one", () => {
    const { all } = message("NE_START_ENCLAVE", ERRNO.EINVAL, { cid: 0n });
    expect(all).not.toContain("CID");
    expect(all).not.toContain("enclave-cid");
  });
});
