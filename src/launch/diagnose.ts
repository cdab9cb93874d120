/**
 * Turns the errno of a failed call into its cause and a fix, in the user's own numbers. What is known of the parent
 * instance comes from host/ and pool/, as in `nitro check`. Loaded only when a launch fails.
 */

import { HEARTBEAT_PORT } from "../devices/heartbeat/protocol.ts";
import { DEVICE_PATH } from "../enclave/enclave.ts";
import { diagnoseIoctl, type LaunchNumbers } from "../enclave/ne-errors.ts";
import { readTopology } from "../host/cpu/topology.ts";
import { accessProblem } from "../host/driver/device-permissions.ts";
import { missingDeviceProblem } from "../host/driver/driver.ts";
import { runningEnclaves } from "../host/driver/enclaves.ts";
import { rangesText } from "../host/memory/huge-pages.ts";
import { pageSizeProblem } from "../host/memory/page-sizes.ts";
import { problemError } from "../host/problem.ts";
import { cpusetProblem, hugetlbProblem, memoryProblem } from "../host/process/cgroups.ts";
import { directoryProblem } from "../host/process/directory.ts";
import { fileSizeProblem, openFilesProblem } from "../host/process/limits.ts";
import { lockProblem } from "../host/process/locks.ts";
import { vsockProblem } from "../host/vsock.ts";
import { coresInUseProblem, poolProblem, poolState } from "../pool/pool-problem.ts";
import { type SyscallError, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";
import type { LaunchOptions, MemoryBackend } from "./options.ts";
import type { MemoryPlan } from "./plan/memory.ts";
import { freePagesShortage } from "./plan/page-supply.ts";
import { findPortUse, portInUse } from "./port-holder.ts";
import { publishedCids } from "./published-status.ts";

/** The process or the system has no free file descriptors. */
function tooManyFiles(system: System, what: string, cause: string): UserError {
  return problemError(
    what,
    openFilesProblem(system) ?? { why: "too many open files", advice: "raise the limit: ulimit -n" },
    cause,
  );
}

/** Diagnoses a failure to open the device. */
export function diagnoseDevice(system: System, error: SyscallError): UserError {
  switch (error.errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return problemError(DEVICE_PATH, missingDeviceProblem(system), error.why);
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return problemError(DEVICE_PATH, accessProblem(system, DEVICE_PATH), error.why);
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, DEVICE_PATH, error.why);
    default:
      return new UserError(
        DEVICE_PATH,
        error.why,
        "read the driver's messages: dmesg | grep nitro_enclaves | tail",
      );
  }
}

/** The pool has no free CPUs: NE_ERR_NO_CPUS_AVAIL_IN_POOL, NE_ERR_FULL_CORES_NOT_USED. */
const OF_THE_POOL: readonly number[] = [272, 269];

/** Diagnoses a failed ioctl of the driver. If the pool has no free CPUs, the message says which enclaves use them. */
export function diagnoseDriver(system: System, error: SyscallError, numbers: LaunchNumbers): UserError {
  const plain = diagnoseIoctl(error, numbers);
  const noPlace = error.call === "NE_CREATE_VM" && error.errno === ERRNO.EBUSY;
  if (!noPlace && !OF_THE_POOL.includes(error.errno)) return plain;
  const topology = readTopology(system);
  const state = poolState(system, topology);
  if (state === undefined) return plain;
  const demand = { value: numbers.vcpus, typed: numbers.smp };
  const problem =
    (noPlace ? undefined : poolProblem(system, state, demand, numbers.memoryBytes)) ??
    coresInUseProblem(state, runningEnclaves(system, topology.threadsPerCore, publishedCids(system)), demand);
  if (problem === undefined) return plain;
  const after =
    numbers.vcpusAdded === 0 ? "" : ` after ${numbers.vcpusAdded} of ${numbers.vcpus} vCPUs (${numbers.smp})`;
  return problemError(`${plain.what}${after}`, problem);
}

/** Diagnoses a failed allocation of huge pages that were free when they were planned. */
export function diagnoseMemory(
  system: System,
  error: SyscallError,
  memory: MemoryPlan,
  backend?: MemoryBackend,
): UserError {
  const what = `${memory.typed}: ${rangesText(memory.ranges)}`;
  const cause = `${error.call}: ${error.why}`;
  if (error.call === "set_mempolicy") return diagnosePolicy(system, error, memory);
  switch (error.errno) {
    case ERRNO.ENOMEM:
    case ERRNO.ENOSPC:
      return diagnoseShortage(system, cause, memory, backend);
    case ERRNO.EFBIG: {
      const largest = Math.max(...memory.ranges.map(({ pages, pageBytes }) => pages * pageBytes));
      const problem = fileSizeProblem(system, largest);
      return problem === undefined ? new UserError(what, cause) : problemError(what, problem, cause);
    }
    case ERRNO.EINVAL:
    case ERRNO.ENODEV:
    case ERRNO.ENOSYS:
      {
        const problem = pageSizeProblem(
          system,
          memory.ranges.map(({ pageBytes }) => pageBytes),
        );
        if (problem !== undefined) return problemError(what, problem, cause);
      }
      return new UserError(
        what,
        `this kernel has no huge pages of that size (${cause})`,
        "ls /sys/kernel/mm/hugepages lists the sizes; huge pages with memfd_create need Linux 4.14",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, what, cause);
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return new UserError(
        what,
        cause,
        "a container, a seccomp filter or ulimit -l may forbid huge pages; run nitro outside it",
      );
    default:
      return new UserError(what, cause, "grep Huge /proc/meminfo; dmesg | tail");
  }
}

/** Another process took the pages in the meantime, or a limit keeps this process from using them. */
function diagnoseShortage(
  system: System,
  cause: string,
  memory: MemoryPlan,
  backend: MemoryBackend | undefined,
): UserError {
  const what = `${memory.typed}: ${rangesText(memory.ranges)}`;
  const problem =
    hugetlbProblem(system, memory.ranges) ??
    cpusetProblem(system, memory.node) ??
    memoryProblem(system, memory.bytes);
  if (problem !== undefined) return problemError(what, problem, cause);
  const short = freePagesShortage(system, memory, backend);
  if (short !== undefined) {
    return new UserError(short.what, `${short.why} (${cause})`, short.hint, short.remedy);
  }
  return new UserError(
    what,
    `enough huge pages are free, but they cannot be allocated (${cause}); a cgroup or a cpuset limits this process`,
    "cat /sys/fs/cgroup/$(cut -d: -f3 /proc/self/cgroup)/hugetlb.2MB.max; grep Mems_allowed /proc/self/status",
  );
}

function diagnosePolicy(system: System, error: SyscallError, memory: MemoryPlan): UserError {
  const problem = cpusetProblem(system, memory.node);
  const cause = `${error.call} ${error.subject}: ${error.why}`;
  if (problem !== undefined) return problemError(memory.typed, problem, cause);
  return new UserError(
    memory.typed,
    `memory cannot be allocated on NUMA node ${memory.node}, where the CPU pool is (${cause})`,
    "a cpuset excludes that node: grep Mems_allowed_list /proc/self/status",
  );
}

const HEARTBEAT = "heartbeat";

/** Diagnoses a failure to listen on the heartbeat port. @param waitedMs how long the launch has waited for it. */
export function diagnoseListen(system: System, error: SyscallError, waitedMs: number): UserError {
  const cause = `${error.call}: ${error.why}`;
  switch (error.errno) {
    case ERRNO.EAFNOSUPPORT:
      return problemError(
        HEARTBEAT,
        vsockProblem(system) ?? {
          why: "this kernel has no vsock (AF_VSOCK)",
          command: "modprobe vmw_vsock_virtio_transport",
        },
      );
    case ERRNO.EADDRINUSE:
      return problemError(
        HEARTBEAT,
        portInUse(findPortUse(system)),
        `after ${Math.round(waitedMs / 1000)} s`,
      );
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return new UserError(
        HEARTBEAT,
        cause,
        "a container or a seccomp filter may forbid vsock; run nitro outside it",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return tooManyFiles(system, HEARTBEAT, cause);
    default:
      return new UserError(
        HEARTBEAT,
        error.message,
        `check vsock and port ${HEARTBEAT_PORT}: nitro check; ls -l /dev/vsock`,
      );
  }
}

/** Reports a vsock problem that explains why no heartbeat arrived. */
export function diagnoseSilence(system: System, report: (line: string) => void): void {
  const problem = vsockProblem(system);
  if (problem === undefined) return;
  report(`heartbeat: none can arrive: ${problem.why}; ${problem.command ?? problem.advice}`);
}

/**
 * Adds the cause to an error that has only the kernel's message: file descriptor limits, a locked or missing
 * directory.
 */
export function diagnoseOther(system: System, error: UserError, { pidFile }: LaunchOptions): UserError {
  if (error.remedy !== undefined) return error;
  if (/\((EMFILE|ENFILE)\)/.test(error.message)) {
    const problem = openFilesProblem(system);
    if (problem !== undefined) return problemError(error.what, problem, error.why);
  }
  if (pidFile === undefined || error.what !== pidFile.typed) return error;
  const held = lockProblem(system, pidFile.value, publishedCids(system));
  if (held !== undefined) return problemError(error.what, held);
  const problem = directoryProblem(system, pidFile.value);
  return problem === undefined ? error : problemError(error.what, problem, error.why);
}
