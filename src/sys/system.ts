/** What every system call needs: libc and the optional trace. Created once in main and passed down. */
import { SyscallError, UserError } from "./errors.ts";
import { type Libc, openLibc } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import type { Trace } from "./trace.ts";

/** Access to the kernel. `trace` is set once, before the launch. */
export interface System {
  readonly libc: Libc;
  trace: Trace;
  /** Whether the root directory has changed (-run-with chroot=), so that earlier paths mean other files. */
  rootChanged: boolean;
  /** Whether a call has failed for want of memory or descriptors since the run loop last waited for some. */
  isShort?: boolean;
}

/** Opens libc, without a trace. Throws UserError if the process may not have executable memory. */
export function openSystem(): System {
  try {
    return { libc: openLibc(), trace: {}, rootChanged: false };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // bun:ffi compiles each function, and the engine disables its compiler if it gets no executable memory.
    if (!reason.includes("JIT")) throw new UserError("libc.so.6", reason, "nitro needs glibc 2.17 or later");
    throw new UserError(
      "memory",
      `nitro cannot get executable memory, which it needs for system calls (${reason})`,
      "systemd: MemoryDenyWriteExecute=no; SELinux: allow execmem; a shell: ulimit -v unlimited",
    );
  }
}

/** A system call for the trace and for an error. */
export interface CallText {
  /** Returns the arguments for the trace. */
  readonly args: () => string;
  /** What the call was applied to, as the user typed it; the error then names it. */
  readonly subject?: string;
}

/**
 * Checks the result of a call: traces it, and throws SyscallError for -1. errno is read first, so no other call may
 * be made between the call and this function.
 */
export function checked(
  system: System,
  call: string,
  result: number,
  { args, subject = "" }: CallText,
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
 * Checks the result of a call that may fail in normal operation: returns it, or the negative errno as the kernel
 * does.
 */
export function resultOrErrno(system: System, call: string, result: number, args: () => string): number {
  if (result === -1) {
    const errno = system.libc.errno();
    if (SHORTAGES.includes(errno)) system.isShort = true;
    system.trace.call?.(call, args(), result, errno);
    return -errno;
  }
  system.trace.call?.(call, args(), result);
  return result;
}

/** The kernel, or this process, is short of memory or descriptors: the call may succeed later. */
const SHORTAGES: readonly number[] = [ERRNO.ENOMEM, ERRNO.ENOBUFS, ERRNO.EMFILE, ERRNO.ENFILE];

/**
 * Whether a result of resultOrErrno means: try again when poll(2) reports the descriptor. Memory of the kernel may be
 * short for a moment.
 */
export function wouldBlock(result: number): boolean {
  return (
    result === -ERRNO.EAGAIN ||
    result === -ERRNO.EINTR ||
    result === -ERRNO.ENOMEM ||
    result === -ERRNO.ENOBUFS
  );
}
