/**
 * Thresholds of the JavaScript engine's compiler. The executable starts with 64 times the usual ones (build.ts): most
 * code of a launch runs once. Compiler threads would compete with the threads that fill the memory (4 % of the time to
 * the donation for a 16 MB image with 128 MiB), and the compiler takes 3 MB of memory (for an EIF of 900 MB).
 */

/** Restores the usual thresholds, before code that runs often. */
export function restoreJitThresholds(): void {
  Bun.unsafe.setJITPolicy(1);
}
