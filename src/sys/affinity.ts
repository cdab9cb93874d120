/** The CPUs that this process may run on. */

import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { addressOf } from "./libc.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { resultOrErrno, type System } from "./system.ts";

/** Size in bytes of a CPU mask for 8192 CPUs, the kernel's limit (CONFIG_NR_CPUS). */
const MASK_BYTES = 1024;

/**
 * Returns the number of CPUs this process may run on, by sched_getaffinity(2): at least 1. Offline CPUs do not count.
 */
export function usableCpus(system: System): number {
  const mask = new Uint8Array(MASK_BYTES);
  const number = SYSCALLS.sched_getaffinity[KERNEL_ARCHITECTURE];
  const got = Number(system.libc.syscall(number, 0, MASK_BYTES, addressOf(mask), 0, 0));
  const bytes = resultOrErrno(system, "sched_getaffinity", got, () => `0, ${MASK_BYTES}, …`);
  if (bytes < 0) return 1;
  let count = 0;
  for (let i = 0; i < bytes; i++) for (let bits = mask[i] ?? 0; bits !== 0; bits &= bits - 1) count += 1;
  return Math.max(1, count);
}
