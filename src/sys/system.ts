/** What every call needs: libc, and the trace that may be on. Made once in main and handed down. */
import { SyscallError, UserError } from "./errors.ts";
import { type Libc, openLibc } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import type { Trace } from "./trace.ts";

/** The kernel as seen from here. `trace` is set once, before the launch begins. */
export interface System {
  readonly libc: Libc;
  trace: Trace;
  /** Whether the process has another root directory by now (-run-with chroot=): earlier paths mean other files. */
  rootChanged: boolean;
}

/** Opens libc, with no trace. Throws UserError where the process may not have memory that is executable. */
export function openSystem(): System {
  try {
    return { libc: openLibc(), trace: {}, rootChanged: false };
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    // bun:ffi compiles each call, and the engine turns its compiler off where it gets no executable memory.
    if (!told.includes("JIT")) throw new UserError("libc.so.6", told, "nitro needs glibc 2.17 or later");
    throw new UserError(
      "memory",
      `none may be made executable, which calling the kernel takes (${told})`,
      "systemd: MemoryDenyWriteExecute=no; SELinux: allow execmem; a shell: ulimit -v unlimited",
    );
  }
}

/**
 * Ends a call that returned `result`: tells the trace, and throws a SyscallError for -1. The first thing that it
 * does is to read errno, so nothing may stand between the call and this.
 * @param subject what the call was done to, in the user's words.
 */
export function checked(
  system: System,
  call: string,
  result: number,
  args: () => string,
  subject: string,
): number {
  if (result === -1) {
    const errno = system.libc.errno();
    system.trace.call?.(call, args(), result, errno);
    throw new SyscallError(call, errno, subject);
  }
  system.trace.call?.(call, args(), result);
  return result;
}

/**
 * Ends a call of the loop's, for which some failures are ordinary: gives the result, or the errno as a negative
 * number, as the kernel itself does.
 */
export function resultOrErrno(system: System, call: string, result: number, args: () => string): number {
  if (result === -1) {
    const errno = system.libc.errno();
    system.trace.call?.(call, args(), result, errno);
    return -errno;
  }
  system.trace.call?.(call, args(), result);
  return result;
}

/** Whether a result of resultOrErrno says: nothing now, ask again when poll says so. */
export function wouldBlock(result: number): boolean {
  return result === -ERRNO.EAGAIN || result === -ERRNO.EINTR;
}
