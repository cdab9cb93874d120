/** The plain errnos of a launch's other calls, each with its cause and what to type, in the user's own numbers. */
import { DEVICE_PATH } from "../accel/enclave.ts";
import { hugePageFolder, hugePages } from "../host/huge-pages.ts";
import { Failure, type SyscallError } from "../sys/failure.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { type MemoryPlan, pageText } from "./nitro.ts";
import type { MemoryBackend } from "./options.ts";

/** Why the device cannot be opened. */
export function explainDevice(error: SyscallError): Failure {
  switch (error.errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return new Failure(
        DEVICE_PATH,
        `${error.why}: the driver is not loaded, or this instance was started without Nitro Enclaves`,
        "modprobe nitro_enclaves; if that does not make the device, stop the instance and enable enclaves: " +
          "aws ec2 modify-instance-attribute --instance-id ID --enclave-options Enabled=true",
      );
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return new Failure(
        DEVICE_PATH,
        error.why,
        `run as root, or join the device's group (ls -l ${DEVICE_PATH}): usermod -aG ne $USER, then log in again`,
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return new Failure(DEVICE_PATH, error.why, "raise the limit: ulimit -n");
    default:
      return new Failure(
        DEVICE_PATH,
        error.why,
        "look for the driver's messages: dmesg | grep nitro_enclaves | tail",
      );
  }
}

/** Why the huge pages cannot be had. */
export function explainMemory(
  system: System,
  error: SyscallError,
  memory: MemoryPlan,
  backend?: MemoryBackend,
): Failure {
  const needed = memory.bytes / memory.pageBytes;
  const pages = hugePages(system, memory.pageBytes);
  const free = pages.free === undefined ? undefined : Math.max(0, pages.free - (pages.reserved ?? 0));
  const counted =
    free === undefined ? "how many are free cannot be read" : `${free} of ${pages.total ?? "?"} are free`;
  const what = `${memory.typed}: ${needed} huge pages of ${pageText(memory.pageBytes)}`;
  const file =
    memory.pageBytes === HUGE_PAGE_BYTES
      ? "/proc/sys/vm/nr_hugepages"
      : `${hugePageFolder(memory.pageBytes)}/nr_hugepages (at boot: hugepagesz=1G hugepages=${needed})`;
  const wanted = (pages.total ?? 0) + Math.max(needed - (free ?? 0), 1);
  const reserve = `reserve more: echo ${wanted} > ${file}`;
  if (error.call === "set_mempolicy") return explainPolicy(error, memory);
  if (backend !== undefined && backend.policy === "bind" && (free ?? 0) >= needed) {
    const node = hugePageFolder(memory.pageBytes, backend.hostNodes[0] ?? 0);
    return new Failure(
      what,
      `${counted}, but not as many on NUMA node ${backend.hostNodes.join(" and ")} (${error.call}: ${error.why})`,
      `echo ${needed} > ${node}/nr_hugepages`,
    );
  }
  switch (error.errno) {
    case ERRNO.ENOMEM:
    case ERRNO.ENOSPC:
      return free !== undefined && free >= needed
        ? new Failure(
            what,
            `${counted}, yet they cannot be had (${error.call}: ${error.why}); ` +
              "a cgroup or a NUMA policy holds them back",
            "cat /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)/hugetlb.2MB.max; numactl --show",
          )
        : new Failure(what, `${counted} (${error.call}: ${error.why})`, reserve);
    case ERRNO.EINVAL:
    case ERRNO.ENODEV:
    case ERRNO.ENOSYS:
      return new Failure(
        what,
        `this kernel gives no huge pages of that size (${error.call}: ${error.why})`,
        "ls /sys/kernel/mm/hugepages tells the sizes; Linux 4.14 and later has memfd_create with huge pages",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return new Failure(what, `${error.call}: ${error.why}`, "raise the limit: ulimit -n");
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return new Failure(
        what,
        `${error.call}: ${error.why}`,
        "a container, a seccomp filter or ulimit -l may forbid huge pages; run nitro outside it",
      );
    default:
      return new Failure(what, `${error.call}: ${error.why}`, reserve);
  }
}

function explainPolicy(error: SyscallError, memory: MemoryPlan): Failure {
  return new Failure(
    memory.typed,
    `the memory cannot be had by that NUMA policy (${error.call} ${error.subject}: ${error.why})`,
    "ls -d /sys/devices/system/node/node* tells the nodes; a cpuset may leave out some of them",
  );
}
