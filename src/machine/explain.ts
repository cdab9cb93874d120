/** The plain errnos of a launch's other calls, each with its cause and what to type, in the user's own numbers. */
import { DEVICE_PATH } from "../accel/enclave.ts";
import { Failure, type SyscallError } from "../sys/failure.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";
import { type MemoryPlan, rangesText } from "./memory.ts";
import type { MemoryBackend } from "./options.ts";
import { freePagesShortage } from "./page-supply.ts";

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

/** Why the huge pages cannot be had, which were free when they were planned. */
export function explainMemory(
  system: System,
  error: SyscallError,
  memory: MemoryPlan,
  backend?: MemoryBackend,
): Failure {
  const what = `${memory.typed}: ${rangesText(memory.ranges)}`;
  const told = `${error.call}: ${error.why}`;
  if (error.call === "set_mempolicy") return explainPolicy(error, memory);
  switch (error.errno) {
    case ERRNO.ENOMEM:
    case ERRNO.ENOSPC:
      return explainShortage(system, told, memory, backend);
    case ERRNO.EINVAL:
    case ERRNO.ENODEV:
    case ERRNO.ENOSYS:
      return new Failure(
        what,
        `this kernel gives no huge pages of that size (${told})`,
        "ls /sys/kernel/mm/hugepages tells the sizes; Linux 4.14 and later has memfd_create with huge pages",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return new Failure(what, told, "raise the limit: ulimit -n");
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return new Failure(
        what,
        told,
        "a container, a seccomp filter or ulimit -l may forbid huge pages; run nitro outside it",
      );
    default:
      return new Failure(what, told, "grep Huge /proc/meminfo; dmesg | tail");
  }
}

/** Somebody else has taken the pages meanwhile; or they are there, and a limit keeps them from this process. */
function explainShortage(
  system: System,
  told: string,
  memory: MemoryPlan,
  backend: MemoryBackend | undefined,
): Failure {
  const short = freePagesShortage(system, memory, backend);
  if (short !== undefined) return new Failure(short.what, `${short.why} (${told})`, short.hint);
  return new Failure(
    `${memory.typed}: ${rangesText(memory.ranges)}`,
    `as many are free, yet they cannot be had (${told}); a cgroup or a cpuset holds them back`,
    "cat /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)/hugetlb.2MB.max; grep Mems_allowed /proc/self/status",
  );
}

function explainPolicy(error: SyscallError, memory: MemoryPlan): Failure {
  return new Failure(
    memory.typed,
    `the memory cannot be had from NUMA node ${memory.node}, where the CPU pool is (${error.call} ` +
      `${error.subject}: ${error.why})`,
    "a cpuset leaves that node out: grep Mems_allowed_list /proc/self/status",
  );
}
