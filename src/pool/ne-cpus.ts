/**
 * The driver's CPU pool, written by its rules (ne_misc_dev.c, ne_set_kernel_param). A write that is refused has
 * destroyed the pool that was there, so the old list is written again; an empty list releases the pool and is refused
 * all the same.
 */

import { cpuListText, parseCpuList } from "../host/cpu/cpu-list.ts";
import { cpuPool, POOL_PARAMETER, poolCpus } from "../host/cpu/cpus.ts";
import { driverProblem } from "../host/driver/driver.ts";
import { problemError } from "../host/problem.ts";
import { hasCapability } from "../host/process/capabilities.ts";
import { errnoText, UserError } from "../sys/errors.ts";
import { writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";

/** A failure that is the same whatever CPUs and pages are chosen. */
export class FatalPoolError extends UserError {
  override readonly name = "FatalPoolError";
}

/** The pool's CPUs, ascending. Throws UserError where the driver is not loaded, saying what to type. */
export function readPool(system: System): number[] {
  const list = cpuPool(system);
  if (list !== undefined) return parseCpuList(list) ?? [];
  const problem = driverProblem(system) ?? {
    why: "the driver does not tell its pool",
    command: `ls -l ${POOL_PARAMETER}`,
  };
  throw problemError("the CPU pool", problem);
}

/**
 * Makes these CPUs the pool. Throws UserError where the driver refuses them; the pool is then as it was.
 * @param before the pool's CPUs until now.
 */
export function writePool(system: System, cpus: readonly number[], before: readonly number[]): void {
  const list = cpuListText(cpus);
  const result = writeSetting(system, POOL_PARAMETER, `${list}\n`);
  if (result === 0) return;
  throw refusal(system, `the CPU pool ${list}`, -result, () => restorePool(system, before));
}

/** Writes a former pool again. Gives what is wrong then, if anything is. */
export function restorePool(system: System, before: readonly number[]): string | undefined {
  const list = cpuListText(before);
  writeSetting(system, POOL_PARAMETER, `${list}\n`);
  const now = cpuListText(poolCpus(system));
  return now === list
    ? undefined
    : `the pool is ${now === "" ? "empty" : now} now, it was ${list || "empty"}`;
}

/** Gives all CPUs back to the parent. Throws UserError while an enclave runs. */
export function emptyPool(system: System): void {
  const result = writeSetting(system, POOL_PARAMETER, "\n");
  if (poolCpus(system).length === 0) return;
  throw refusal(system, "the CPU pool", -result, () => undefined);
}

function refusal(system: System, what: string, errno: number, restore: () => string | undefined): UserError {
  const unprivileged = errno === ERRNO.EPERM && !hasCapability(system, "CAP_SYS_ADMIN");
  if (errno === ERRNO.EACCES || errno === ERRNO.EROFS || unprivileged) {
    return notAllowed(what, POOL_PARAMETER, errno);
  }
  if (errno === ERRNO.EPERM) {
    return new FatalPoolError(
      what,
      "an enclave runs, and the driver does not change its pool then; nothing was changed",
      "stop every enclave first: pgrep -a nitro; nitro-cli terminate-enclave --all",
    );
  }
  const left = restore();
  return new UserError(
    what,
    `the driver refuses it (${errnoText(errno)}); ${left ?? "the pool is as it was"}`,
    "its reason is in the kernel log: dmesg | grep nitro_enclaves | tail",
  );
}

/** For a setting of the kernel's that this process may not write: EACCES, EPERM or EROFS. */
export function notAllowed(what: string, path: string, errno: number): UserError {
  const hint =
    errno === ERRNO.EROFS
      ? "run it on the parent instance itself: in a container /sys is for reading only"
      : "run it as root: sudo nitro pool …";
  return new FatalPoolError(what, `${path}: ${errnoText(errno)}`, hint);
}
