/**
 * The driver's CPU pool, the module parameter ne_cpus (ne_misc_dev.c, ne_set_kernel_param). A write that the driver
 * refuses has already emptied the pool. Writing an empty list empties the pool as well, although the write fails.
 */
import { cpuListText, parseCpuList } from "../host/cpu/cpu-list.ts";
import { cpuPool, poolCpus } from "../host/cpu/cpus.ts";
import { driverProblem } from "../host/driver/driver.ts";
import { problemError } from "../host/problem.ts";
import { hasCapability } from "../host/process/capabilities.ts";
import { errnoText, UserError } from "../sys/errors.ts";
import { writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { NE_CPUS_PARAMETER } from "../sys/linux/nitro_enclaves.ts";
import type { System } from "../sys/system.ts";

/** An error that no other choice of node, CPUs and pages can avoid. */
export class FatalPoolError extends UserError {
  override readonly name = "FatalPoolError";
}

/** Returns the pool's CPUs in ascending order. Throws UserError with the fix if the driver is not loaded. */
export function readPool(system: System): number[] {
  const list = cpuPool(system);
  if (list !== undefined) return parseCpuList(list) ?? [];
  const problem = driverProblem(system) ?? {
    why: "the driver does not report its CPU pool",
    command: `ls -l ${NE_CPUS_PARAMETER}`,
  };
  throw problemError("the CPU pool", problem);
}

/** Makes these CPUs the pool. Throws UserError if the driver refuses them; the pool may be empty then. */
export function writePool(system: System, cpus: readonly number[]): void {
  const list = cpuListText(cpus);
  const result = writeSetting(system, NE_CPUS_PARAMETER, `${list}\n`);
  if (result !== 0) throw writeError(system, `the CPU pool ${list}`, -result);
}

/** Restores a former pool. Returns a description of what differs afterwards; undefined if nothing does. */
export function restorePool(system: System, before: readonly number[]): string | undefined {
  const list = cpuListText(before);
  writeSetting(system, NE_CPUS_PARAMETER, `${list}\n`);
  const now = cpuListText(poolCpus(system));
  return now === list ? undefined : `the pool is ${now || "empty"}, before it was ${list || "empty"}`;
}

/** Returns all CPUs of the pool to the parent. Throws UserError while an enclave runs. */
export function emptyPool(system: System): void {
  const result = writeSetting(system, NE_CPUS_PARAMETER, "\n");
  if (poolCpus(system).length === 0) return;
  throw withOutcome(writeError(system, "the CPU pool", -result), "nothing was changed");
}

function writeError(system: System, what: string, errno: number): UserError {
  const unprivileged = errno === ERRNO.EPERM && !hasCapability(system, "CAP_SYS_ADMIN");
  if (errno === ERRNO.EACCES || errno === ERRNO.EROFS || unprivileged) {
    return notPermitted(what, NE_CPUS_PARAMETER, errno);
  }
  if (errno === ERRNO.EPERM) {
    return new FatalPoolError(
      what,
      "an enclave is running, and until it exits the driver does not change its CPU pool",
      "run it again when no enclave runs; list the launchers: pgrep -a 'nitro|qemu'",
    );
  }
  return new UserError(
    what,
    `the driver refused it (${errnoText(errno)})`,
    "the reason is in the kernel log: dmesg | grep nitro_enclaves | tail",
  );
}

/** Returns the error of a kernel setting that this process may not write: EACCES, EPERM or EROFS. */
export function notPermitted(what: string, path: string, errno: number): UserError {
  const hint =
    errno === ERRNO.EROFS
      ? "run it on the parent instance itself: in a container, /sys is read-only"
      : "run it as root: sudo nitro pool …";
  return new FatalPoolError(what, `${path}: ${errnoText(errno)}`, hint);
}

/** Returns the error with the resulting state added: `nothing was changed`. */
export function withOutcome(error: UserError, outcome: string): UserError {
  const Kind = error instanceof FatalPoolError ? FatalPoolError : UserError;
  return new Kind(error.what, `${error.why}; ${outcome}`, error.hint);
}
