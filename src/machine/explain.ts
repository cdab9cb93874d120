/**
 * The plain errnos of a launch's calls, each with its cause and what to type, in the user's own numbers. What is known
 * of the parent instance is host/'s and pool/'s, where `nitro check` has it from too. Loaded by launches that fail.
 */
import { DEVICE_PATH } from "../accel/enclave.ts";
import { explainIoctl, type LaunchNumbers } from "../accel/ne-errors.ts";
import { HEARTBEAT_PORT, PORT_PATIENCE_MS } from "../devices/heartbeat-port.ts";
import { PORT_HELD } from "../devices/port-holder.ts";
import { cpusetFault, hugetlbFault, memoryFault } from "../host/cgroups.ts";
import { absenceFault } from "../host/driver.ts";
import { runningEnclaves } from "../host/enclaves.ts";
import { faultFailure } from "../host/fault.ts";
import { folderFault } from "../host/folder.ts";
import { fileSizeFault, openFilesFault } from "../host/limits.ts";
import { lockFault } from "../host/locks.ts";
import { accessFault } from "../host/node-access.ts";
import { pageSizeFault } from "../host/page-sizes.ts";
import { readTopology } from "../host/topology.ts";
import { vsockFault } from "../host/vsock.ts";
import { poolFault, poolState, takenFault } from "../pool/cores-fault.ts";
import { Failure, type SyscallError } from "../sys/failure.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";
import { type MemoryPlan, rangesText } from "./memory.ts";
import type { LaunchOptions, MemoryBackend } from "./options.ts";
import { freePagesShortage } from "./page-supply.ts";

/** Where a process or the system has no descriptor left. */
function tooManyFiles(system: System, what: string, told: string): Failure {
  return faultFailure(
    what,
    openFilesFault(system) ?? { why: "there are too many", advice: "raise the limit: ulimit -n" },
    told,
  );
}

/** Why the device cannot be opened. */
export function explainDevice(system: System, error: SyscallError): Failure {
  switch (error.errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return faultFailure(DEVICE_PATH, absenceFault(system), error.why);
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return faultFailure(DEVICE_PATH, accessFault(system, DEVICE_PATH), error.why);
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, DEVICE_PATH, error.why);
    default:
      return new Failure(
        DEVICE_PATH,
        error.why,
        "look for the driver's messages: dmesg | grep nitro_enclaves | tail",
      );
  }
}

/** Errors that say that the pool has no CPUs to give: NE_ERR_NO_CPUS_AVAIL_IN_POOL, NE_ERR_FULL_CORES_NOT_USED. */
const OF_THE_POOL: readonly number[] = [272, 269];

/** The refusal of an ioctl: by the pool and who has its cores, where it is of those, else as the driver means it. */
export function explainDriver(system: System, error: SyscallError, numbers: LaunchNumbers): Failure {
  const plain = explainIoctl(error, numbers);
  const noPlace = error.call === "NE_CREATE_VM" && error.errno === ERRNO.EBUSY;
  if (!noPlace && !OF_THE_POOL.includes(error.errno)) return plain;
  const topology = readTopology(system);
  const state = poolState(system, topology);
  if (state === undefined) return plain;
  const demand = { value: numbers.vcpus, typed: numbers.smp };
  const fault =
    (noPlace ? undefined : poolFault(system, state, demand, numbers.memoryBytes)) ??
    takenFault(state, runningEnclaves(system, topology.threadsPerCore), demand);
  if (fault === undefined) return plain;
  const after =
    numbers.vcpusAdded === 0 ? "" : ` after ${numbers.vcpusAdded} of ${numbers.vcpus} vCPUs (${numbers.smp})`;
  return faultFailure(`${plain.what}${after}`, fault);
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
  if (error.call === "set_mempolicy") return explainPolicy(system, error, memory);
  switch (error.errno) {
    case ERRNO.ENOMEM:
    case ERRNO.ENOSPC:
      return explainShortage(system, told, memory, backend);
    case ERRNO.EFBIG: {
      const largest = Math.max(...memory.ranges.map(({ pages, pageBytes }) => pages * pageBytes));
      const fault = fileSizeFault(system, largest);
      return fault === undefined ? new Failure(what, told) : faultFailure(what, fault, told);
    }
    case ERRNO.EINVAL:
    case ERRNO.ENODEV:
    case ERRNO.ENOSYS:
      {
        const fault = pageSizeFault(
          system,
          memory.ranges.map(({ pageBytes }) => pageBytes),
        );
        if (fault !== undefined) return faultFailure(what, fault, told);
      }
      return new Failure(
        what,
        `this kernel gives no huge pages of that size (${told})`,
        "ls /sys/kernel/mm/hugepages tells the sizes; Linux 4.14 and later has memfd_create with huge pages",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, what, told);
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
  const what = `${memory.typed}: ${rangesText(memory.ranges)}`;
  const fault =
    hugetlbFault(system, memory.ranges) ??
    cpusetFault(system, memory.node) ??
    memoryFault(system, memory.bytes);
  if (fault !== undefined) return faultFailure(what, fault, told);
  const short = freePagesShortage(system, memory, backend);
  if (short !== undefined) {
    return new Failure(short.what, `${short.why} (${told})`, short.hint, short.remedy);
  }
  return new Failure(
    what,
    `as many are free, yet they cannot be had (${told}); a cgroup or a cpuset holds them back`,
    "cat /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)/hugetlb.2MB.max; grep Mems_allowed /proc/self/status",
  );
}

function explainPolicy(system: System, error: SyscallError, memory: MemoryPlan): Failure {
  const fault = cpusetFault(system, memory.node);
  const told = `${error.call} ${error.subject}: ${error.why}`;
  if (fault !== undefined) return faultFailure(memory.typed, fault, told);
  return new Failure(
    memory.typed,
    `the memory cannot be had from NUMA node ${memory.node}, where the CPU pool is (${told})`,
    "a cpuset leaves that node out: grep Mems_allowed_list /proc/self/status",
  );
}

const HEARTBEAT = "heartbeat";

/** Why the heartbeat's port cannot be listened on. */
export function explainListen(system: System, error: SyscallError): Failure {
  const told = `${error.call}: ${error.why}`;
  switch (error.errno) {
    case ERRNO.EAFNOSUPPORT:
      return faultFailure(
        HEARTBEAT,
        vsockFault(system) ?? {
          why: "this kernel has no vsock (AF_VSOCK)",
          command: "modprobe vmw_vsock_virtio_transport",
        },
      );
    case ERRNO.EADDRINUSE:
      return faultFailure(HEARTBEAT, PORT_HELD, `after ${PORT_PATIENCE_MS / 1000} s`);
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return new Failure(
        HEARTBEAT,
        told,
        "a container or a seccomp filter may forbid vsock; run nitro outside it",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, HEARTBEAT, told);
    default:
      return new Failure(
        HEARTBEAT,
        error.message,
        `check that vsock works, and that port ${HEARTBEAT_PORT} can be had: nitro check; ls -l /dev/vsock`,
      );
  }
}

/** No heartbeat has come: perhaps none could. */
export function explainSilence(system: System, tell: (line: string) => void): void {
  const fault = vsockFault(system);
  if (fault === undefined) return;
  tell(`heartbeat: none could come, for ${fault.why}: ${fault.command ?? fault.advice}`);
}

/** What can be added to a failure that says no more than the kernel does: limits that many calls meet, a folder. */
export function explainOther(system: System, error: Failure, { pidFile }: LaunchOptions): Failure {
  if (error.remedy !== undefined) return error;
  if (/\((EMFILE|ENFILE)\)/.test(error.message)) {
    const fault = openFilesFault(system);
    if (fault !== undefined) return faultFailure(error.what, fault, error.why);
  }
  if (pidFile === undefined || error.what !== `-pidfile ${pidFile}`) return error;
  const held = lockFault(system, pidFile);
  if (held !== undefined) return faultFailure(error.what, held);
  const fault = folderFault(system, pidFile);
  return fault === undefined ? error : faultFailure(error.what, fault, error.why);
}
