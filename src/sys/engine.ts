/** The JavaScript engine: when it compiles and when it collects garbage. */

/**
 * Restores the usual thresholds of the compiler, before code that runs often. The executable starts with 64 times these
 * (build.ts): most code of a launch runs once. Compiling would take time from the threads that fill the memory (4 % of
 * the time to the donation for a 16 MB image with 128 MiB), and 3 MB of memory (for an EIF of 900 MB).
 */
export function restoreJitThresholds(): void {
  Bun.unsafe.setJITPolicy(1);
}

/**
 * Collects garbage, which takes 5 to 15 ms. The engine counts views of the enclave's memory as its own and would let
 * 130 MB of garbage come together before its first collection; after one it collects every 8 MB.
 */
export function collectGarbage(): void {
  Bun.gc(true);
}
