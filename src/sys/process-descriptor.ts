/** Copies of other processes' file descriptors (pidfd_open(2), pidfd_getfd(2); Linux 5.6). */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { Fd } from "./files.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { resultOrErrno, type System } from "./system.ts";

/** Copies a file descriptor of another process. Returns the negative errno if this process may not, or cannot. */
export function copyDescriptor(system: System, pid: number, fd: number): Fd | number {
  const { syscall } = system.libc;
  const open = Number(syscall(SYSCALLS.pidfd_open[KERNEL_ARCHITECTURE], pid, 0, 0, 0, 0));
  const opened = resultOrErrno(system, "pidfd_open", open, () => `${pid}, 0`);
  if (opened < 0) return opened;
  using process = new Fd(system, opened);
  const copy = Number(syscall(SYSCALLS.pidfd_getfd[KERNEL_ARCHITECTURE], process.number, fd, 0, 0, 0));
  const copied = resultOrErrno(system, "pidfd_getfd", copy, () => `${process.number}, ${fd}, 0`);
  return copied < 0 ? copied : new Fd(system, copied);
}
