/** The flags of a file descriptor that another program opened, and duplicates of it (fcntl(2)). */
import { Fd } from "./files.ts";
import { F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFL, FD_CLOEXEC, O_NONBLOCK } from "./linux/fcntl.ts";
import { checked, resultOrErrno, type System } from "./system.ts";

/** Duplicates get numbers from here on: 0 to 2 stay the standard streams. */
const FIRST_DUPLICATE = 3;

/** Returns access mode and status flags (O_WRONLY, O_APPEND, …), or the negative errno: -EBADF if it is not open. */
export function statusFlags(system: System, fd: number): number {
  const flags = system.libc.sharingCalls.fcntl(fd, F_GETFL, 0);
  return resultOrErrno(system, "fcntl", flags, () => `${fd}, F_GETFL`);
}

/**
 * Whether a standard stream was closed when the program started. The runtime opens /dev/null in its place, with
 * FD_CLOEXEC, which no descriptor has that came across execve(2).
 */
export function wasClosed(system: System, stream: number): boolean {
  const flags = system.libc.sharingCalls.fcntl(stream, F_GETFD, 0);
  return (resultOrErrno(system, "fcntl", flags, () => `${stream}, F_GETFD`) & FD_CLOEXEC) !== 0;
}

/** Adds status flags, which all programs that share the open file notice. Throws SyscallError. */
export function addStatusFlags(system: System, fd: number, added: number): void {
  const all = statusFlags(system, fd) | added;
  const set = system.libc.sharingCalls.fcntl(fd, F_SETFL, all);
  checked(system, "fcntl", set, { args: () => `${fd}, F_SETFL, ${all}` });
}

/** Makes a descriptor non-blocking. Throws SyscallError. */
export function setNonBlocking(system: System, fd: number): void {
  addStatusFlags(system, fd, O_NONBLOCK);
}

/** Duplicates a descriptor. Throws SyscallError. */
export function duplicateFd(system: System, fd: number): Fd {
  const number = system.libc.sharingCalls.fcntl(fd, F_DUPFD_CLOEXEC, FIRST_DUPLICATE);
  const args = () => `${fd}, F_DUPFD_CLOEXEC, ${FIRST_DUPLICATE}`;
  return new Fd(system, checked(system, "fcntl", number, { args }));
}
