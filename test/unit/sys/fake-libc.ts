/**
 * libc with some calls replaced by a test. Other calls reach the kernel. A fake that returns -1 needs an `errno`.
 */
import type { Libc } from "../../../src/sys/libc.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";

/** An argument of a C call, as passed to bun:ffi. */
type Argument = number | bigint | Uint8Array | null | object;
type Fake = (...args: readonly Argument[]) => number;

/** Returns a system whose `calls` are those of the test. */
export function fakeLibc(calls: { readonly [K in keyof Libc]?: Fake }): System {
  const real = openSystem();
  return { libc: { ...real.libc, ...calls } as Libc, trace: {}, rootChanged: false };
}
