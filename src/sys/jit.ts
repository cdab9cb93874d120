/**
 * When the engine compiles JavaScript to machine code. The executable begins with eight times the usual thresholds
 * (build.ts): most of a launch runs once, and what compiler threads do meanwhile the threads miss that fill the memory.
 */

/** From here on code runs often: the usual thresholds. */
export function restoreJitThresholds(): void {
  Bun.unsafe.setJITPolicy(1);
}
