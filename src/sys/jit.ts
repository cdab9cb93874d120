/**
 * Thresholds of the JavaScript engine's compiler. The executable starts with eight times the usual ones (build.ts):
 * most code of a launch runs once, and compiler threads would compete with the threads that fill the memory (4 % of
 * the time to the donation for a 16 MB image with 128 MiB).
 */

/** Restores the usual thresholds, before code that runs often. */
export function restoreJitThresholds(): void {
  Bun.unsafe.setJITPolicy(1);
}
