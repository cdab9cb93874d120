import { describe, expect, test } from "bun:test";
import { diagnoseDevice, diagnoseListen, diagnoseMemory } from "../../../src/launch/diagnose.ts";
import type { MemoryPlan } from "../../../src/launch/plan/memory.ts";
import { SyscallError } from "../../../src/sys/errors.ts";
import { ERRNO } from "../../../src/sys/linux/errno.ts";
import type { System } from "../../../src/sys/system.ts";
import { counters, systemWith } from "../sys/fake-files.ts";

const DEVICE = "/dev/nitro_enclaves";

/** A machine of which no file can be read. */
const nothing = systemWith({});

describe("diagnoseDevice", () => {
  test.each([
    ["ENOENT", "modprobe nitro_enclaves", "started without Nitro Enclaves"],
    ["ENODEV", "--enclave-options Enabled=true", "the driver is not loaded"],
    ["ENXIO", "modprobe nitro_enclaves", "the driver is not loaded"],
    ["EACCES", "usermod -aG ne ", "Permission denied (EACCES)"],
    ["EPERM", "run as root", "Operation not permitted (EPERM)"],
    ["EMFILE", "ulimit -n", "Too many open files (EMFILE)"],
    ["ENFILE", "ulimit -n", "Too many open files in system (ENFILE)"],
    ["EIO", "dmesg", "Input/output error (EIO)"],
    ["EBUSY", "dmesg", "Device or resource busy (EBUSY)"],
  ] as const)("diagnoseDevice: %s has a cause and a fix", (name, hint, why) => {
    const failure = diagnoseDevice(nothing, new SyscallError("open", ERRNO[name], DEVICE));
    expect(failure.what).toBe(DEVICE);
    expect(failure.why).toContain(name);
    expect(`${failure.why} ${failure.hint}`).toContain(why);
    expect(failure.hint).toContain(hint);
  });
});

/** A machine with these counters of 2 MiB pages. */
const withPages = (total: number, free: number, reserved = 0) =>
  systemWith({ ...counters(2 ** 21, { total, free, reserved }) });

const PLAN = {
  bytes: 512 * 2 ** 20,
  typed: "-m 512M",
  ranges: [{ pageBytes: 2 ** 21, pages: 256 }],
  node: undefined,
};

function diagnosed(system: System, call: string, errno: number, plan: MemoryPlan = PLAN) {
  const { what, why, hint } = diagnoseMemory(system, new SyscallError(call, errno, "bind, nodes 1"), plan);
  return { what, why, hint };
}

describe("diagnoseMemory", () => {
  const what = "-m 512M: 256 huge pages of 2 MiB";

  test("diagnoseMemory: pages that another process took are reported with the free ones and the command that reserves more", () => {
    expect(diagnosed(withPages(300, 100, 20), "fallocate", ERRNO.ENOSPC)).toEqual({
      what: "-m 512M",
      why:
        "not enough huge pages: need 512 MiB, 160 MiB free (80 of 300 pages of 2 MiB) " +
        "(fallocate: No space left on device (ENOSPC))",
      hint: "nitro pool --memory 952, or echo 476 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
    });
  });

  test("diagnoseMemory: if enough pages are free, a limit is the cause", () => {
    const message = diagnosed(withPages(600, 600), "fallocate", ERRNO.ENOSPC);
    expect(message.what).toBe(what);
    expect(message.why).toBe(
      "enough huge pages are free, but they cannot be allocated (fallocate: No space left on device (ENOSPC)); " +
        "a cgroup or a cpuset limits this process",
    );
    expect(message.hint).toContain("hugetlb.2MB.max");
  });

  test("diagnoseMemory: a cpuset without the pool's node is the cause of a refused policy", () => {
    const message = diagnosed(withPages(600, 600), "set_mempolicy", ERRNO.EINVAL, { ...PLAN, node: 1 });
    expect(message.why).toBe(
      "memory cannot be allocated on NUMA node 1, where the CPU pool is " +
        "(set_mempolicy bind, nodes 1: Invalid argument (EINVAL))",
    );
    expect(message.hint).toContain("Mems_allowed_list");
  });

  test.each([
    ["memfd_create", "EINVAL", "this kernel has no huge pages of that size", "ls /sys/kernel/mm/hugepages"],
    ["memfd_create", "ENOSYS", "this kernel has no huge pages of that size", "Linux 4.14"],
    ["memfd_create", "EMFILE", "memfd_create: Too many open files", "ulimit -n"],
    ["memfd_create", "EPERM", "memfd_create: Operation not permitted", "outside it"],
    ["mmap", "EACCES", "mmap: Permission denied", "outside it"],
    ["ftruncate", "EIO", "ftruncate: Input/output error", "dmesg"],
  ] as const)("diagnoseMemory: %s with %s has a cause and a fix", (call, name, why, hint) => {
    const message = diagnosed(withPages(1, 1), call, ERRNO[name]);
    expect(message.what).toBe(what);
    expect(message.why).toContain(why);
    expect(message.why).toContain(`(${name})`);
    expect(message.hint).toContain(hint);
  });
});

describe("diagnoseListen", () => {
  test.each([
    ["EAFNOSUPPORT", "vsock", "modprobe vmw_vsock_virtio_transport"],
    [
      "EADDRINUSE",
      "after 30 s: vsock port 9000 is in use by another process, which does not share it",
      "ss --vsock",
    ],
    ["EACCES", "Permission denied", "outside it"],
    ["EPERM", "Operation not permitted", "outside it"],
    ["EMFILE", "Too many open files", "ulimit -n"],
    ["ENODEV", "No such device", "/dev/vsock"],
  ] as const)("diagnoseListen: %s has a cause and a fix", (name, why, hint) => {
    const failure = diagnoseListen(nothing, new SyscallError("bind", ERRNO[name], "vsock port 9000"), 30_000);
    expect(failure.what).toBe("heartbeat");
    expect(failure.why).toContain(why);
    expect(failure.hint).toContain(hint);
  });
});
