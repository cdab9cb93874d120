import { describe, expect, test } from "bun:test";
import { explainDevice, explainMemory } from "../../src/machine/explain.ts";
import { SyscallError } from "../../src/sys/failure.ts";
import { ERRNO } from "../../src/sys/linux/errno.ts";
import type { System } from "../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const DEVICE = "/dev/nitro_enclaves";

describe("the device cannot be opened", () => {
  test.each([
    ["ENOENT", "modprobe nitro_enclaves", "started without Nitro Enclaves"],
    ["ENODEV", "--enclave-options Enabled=true", "the driver is not loaded"],
    ["ENXIO", "modprobe nitro_enclaves", "the driver is not loaded"],
    ["EACCES", "usermod -aG ne $USER", "Permission denied (EACCES)"],
    ["EPERM", "run as root", "Operation not permitted (EPERM)"],
    ["EMFILE", "ulimit -n", "Too many open files (EMFILE)"],
    ["ENFILE", "ulimit -n", "Too many open files in system (ENFILE)"],
    ["EIO", "dmesg", "Input/output error (EIO)"],
    ["EBUSY", "dmesg", "Device or resource busy (EBUSY)"],
  ] as const)("%s", (name, hint, why) => {
    const failure = explainDevice(new SyscallError("open", ERRNO[name], DEVICE));
    expect(failure.what).toBe(DEVICE);
    expect(failure.why).toContain(name);
    expect(failure.why).toContain(why);
    expect(failure.hint).toContain(hint);
  });
});

/** A machine whose counters of 2 MiB pages say this; a missing one cannot be read. */
function withPages(counters: { total?: number; free?: number; reserved?: number }): System {
  const texts = new Map<string, number | undefined>([
    ["nr_hugepages", counters.total],
    ["free_hugepages", counters.free],
    ["resv_hugepages", counters.reserved],
  ]);
  let text = "";
  return fakeLibc({
    open: (path) => {
      const name = path instanceof Uint8Array ? new TextDecoder().decode(path).replace(/\0$/, "") : "";
      const counter = texts.get(name.split("/").at(-1) ?? "");
      text = `${counter}\n`;
      return counter === undefined ? -1 : 90;
    },
    read: (_fd, into) => {
      if (!(into instanceof Uint8Array)) throw new Error("read wants a buffer");
      const bytes = new TextEncoder().encode(text);
      into.set(bytes);
      return bytes.length;
    },
    close: () => 0,
    errno: () => ERRNO.ENOENT,
  });
}

const PLAN = { bytes: 512 * 2 ** 20, typed: "-m 512M", pageBytes: 2 ** 21 };

function explained(system: System, call: string, errno: number) {
  const { what, why, hint } = explainMemory(system, new SyscallError(call, errno, ""), PLAN);
  return { what, why, hint };
}

describe("the huge pages cannot be had", () => {
  const what = "-m 512M: 256 huge pages of 2 MiB";

  test("too few are free: how many there are, and how many to reserve", () => {
    const system = withPages({ total: 300, free: 100, reserved: 20 });
    expect(explained(system, "fallocate", ERRNO.ENOSPC)).toEqual({
      what,
      why: "80 of 300 are free (fallocate: No space left on device (ENOSPC))",
      hint: "reserve more: echo 476 > /proc/sys/vm/nr_hugepages",
    });
  });

  test("none are reserved at all", () => {
    expect(explained(withPages({ total: 0, free: 0, reserved: 0 }), "mmap", ERRNO.ENOMEM)).toEqual({
      what,
      why: "0 of 0 are free (mmap: Cannot allocate memory (ENOMEM))",
      hint: "reserve more: echo 256 > /proc/sys/vm/nr_hugepages",
    });
  });

  test("enough are free, so that something else holds them back", () => {
    const told = explained(withPages({ total: 600, free: 600, reserved: 0 }), "fallocate", ERRNO.ENOSPC);
    expect(told.why).toBe(
      "600 of 600 are free, yet they cannot be had (fallocate: No space left on device (ENOSPC)); " +
        "a cgroup or a NUMA policy holds them back",
    );
    expect(told.hint).toContain("hugetlb.2MB.max");
  });

  test("the counters cannot be read", () => {
    const told = explained(withPages({}), "mmap", ERRNO.ENOMEM);
    expect(told.why).toStartWith("how many are free cannot be read (mmap: ");
    expect(told.hint).toBe("reserve more: echo 256 > /proc/sys/vm/nr_hugepages");
  });

  test.each([
    ["memfd_create", "EINVAL", "this kernel gives no huge pages of that size", "ls /sys/kernel/mm/hugepages"],
    ["memfd_create", "ENOSYS", "this kernel gives no huge pages of that size", "Linux 4.14"],
    ["memfd_create", "EMFILE", "memfd_create: Too many open files", "ulimit -n"],
    ["memfd_create", "EPERM", "memfd_create: Operation not permitted", "outside it"],
    ["mmap", "EACCES", "mmap: Permission denied", "outside it"],
    ["ftruncate", "EIO", "ftruncate: Input/output error", "nr_hugepages"],
  ] as const)("%s: %s", (call, name, why, hint) => {
    const told = explained(withPages({ total: 1, free: 1, reserved: 0 }), call, ERRNO[name]);
    expect(told.what).toBe(what);
    expect(told.why).toContain(why);
    expect(told.why).toContain(`(${name})`);
    expect(told.hint).toContain(hint);
  });
});
