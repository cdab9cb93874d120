/**
 * libc with some of its calls replaced: what a test replaces never reaches the kernel, the rest does.
 * A fake fails by returning -1 after setting `errno`.
 */
import type { Libc } from "../../../src/sys/libc.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";

/** An argument of a C call, as bun:ffi takes it. */
type Argument = number | bigint | Uint8Array | null | object;
type Fake = (...args: readonly Argument[]) => number;

/** A system whose `calls` are answered by the test. */
export function fakeLibc(calls: { readonly [K in keyof Libc]?: Fake }): System {
  const real = openSystem();
  return { libc: { ...real.libc, ...calls } as Libc, trace: {}, rootChanged: false };
}
