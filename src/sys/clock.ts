/** A clock that all processes share. */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { addressOf } from "./libc.ts";
import { CLOCK_MONOTONIC } from "./linux/time.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import type { System } from "./system.ts";

/** Returns the milliseconds of CLOCK_MONOTONIC (clock_gettime(2)); nowMs counts from the start of this process. */
export function sharedClockMs(system: System): number {
  const timespec = new BigInt64Array(2);
  const at = addressOf(new Uint8Array(timespec.buffer));
  system.libc.syscall(SYSCALLS.clock_gettime[KERNEL_ARCHITECTURE], CLOCK_MONOTONIC, at, 0, 0, 0);
  const [seconds = 0n, nanoseconds = 0n] = timespec;
  return Number(seconds) * 1000 + Number(nanoseconds) / 1e6;
}
