/** The process: starting the program again, its session, root directory and user. */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { directoryNames } from "./directory.ts";
import { SyscallError } from "./errors.ts";
import { Fd, openFile, readSome } from "./files.ts";
import { addressOf, cString } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import { F_GETPIPE_SZ, F_SETFD, FD_CLOEXEC, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./linux/fcntl.ts";
import { PR_SET_NAME, PR_SET_PDEATHSIG } from "./linux/prctl.ts";
import { SIGNALS } from "./linux/signal.ts";
import { checked, type System } from "./system.ts";

/** This program, even if its file was replaced (proc(5)). */
const SELF = "/proc/self/exe";

/** Creates a pipe whose write end a new program inherits. */
export function inheritedPipe(system: System): { reading: Fd; writing: Fd } {
  const ends = new Uint8Array(8);
  const view = new DataView(ends.buffer);
  const created = system.libc.pipe2(ends, O_CLOEXEC);
  const [from, to] = [view.getInt32(0, true), view.getInt32(4, true)];
  checked(system, "pipe2", created, { args: () => `[${from}, ${to}], O_CLOEXEC` });
  const [reading, writing] = [new Fd(system, from), new Fd(system, to)];
  keepAcrossExec(system, to);
  return { reading, writing };
}

/**
 * Starts this program again with posix_spawn(3) and an empty environment. Returns the process id. Throws SyscallError.
 * @param argv the arguments, including the program name.
 */
export function spawnSelf(system: System, argv: readonly string[]): number {
  const pid = new Uint8Array(4);
  const texts = argv.map(cString);
  const vector = new BigUint64Array(texts.length + 1);
  texts.forEach((text, i) => {
    vector[i] = BigInt(addressOf(text));
  });
  const environment = new BigUint64Array(1);
  const error = system.libc.processCalls.posix_spawn(pid, cString(SELF), null, null, vector, environment);
  // Keeps `texts` alive until after the call: vector holds only their addresses.
  if (error !== 0 || texts.length === 0) throw new SyscallError("posix_spawn", error, SELF);
  const child = new DataView(pid.buffer).getInt32(0, true);
  system.trace.call?.(
    "posix_spawn",
    `[${child}], "${SELF}", NULL, NULL, [${texts.length} arguments], []`,
    error,
  );
  return child;
}

/** Waits for a child. Returns its exit status, or the negative number of the signal that ended it (wait(2)). */
export function waitForExit(system: System, pid: number): number {
  const status = new Uint8Array(4);
  for (;;) {
    const result = system.libc.processCalls.waitpid(pid, status, 0);
    try {
      checked(system, "waitpid", result, { args: () => `${pid}, …, 0` });
    } catch (error) {
      if (error instanceof SyscallError && error.errno === ERRNO.EINTR) continue;
      throw error;
    }
    const code = new DataView(status.buffer).getInt32(0, true);
    return (code & 0x7f) === 0 ? (code >> 8) & 0xff : -(code & 0x7f);
  }
}

/** Sends a signal to a child. A child that has exited already is not an error. */
export function signalChild(system: System, pid: number, signal: keyof typeof SIGNALS): void {
  system.libc.processCalls.kill(pid, SIGNALS[signal]);
}

/** Whether a descriptor is a pipe. */
export function isPipe(system: System, fd: number): boolean {
  return system.libc.processCalls.fcntl(fd, F_GETPIPE_SZ, 0) > 0;
}

/** Sets close-on-exec on a descriptor. */
export function setCloseOnExec(system: System, fd: number): void {
  checked(system, "fcntl", system.libc.processCalls.fcntl(fd, F_SETFD, FD_CLOEXEC), {
    args: () => `${fd}, F_SETFD, FD_CLOEXEC`,
  });
}

/** Makes a descriptor stay open in programs that this process starts. Throws SyscallError. */
export function keepAcrossExec(system: System, fd: number): void {
  checked(system, "fcntl", system.libc.processCalls.fcntl(fd, F_SETFD, 0), {
    args: () => `${fd}, F_SETFD, 0`,
  });
}

/** Starts a session without a controlling terminal. Throws SyscallError. */
export function newSession(system: System): void {
  checked(system, "setsid", system.libc.processCalls.setsid(), { args: () => "" });
}

/** dup2(2): makes `to` refer to the open file of `from`. Throws SyscallError. */
export function replaceFd(system: System, from: number, to: number): void {
  checked(system, "dup2", system.libc.processCalls.dup2(from, to), { args: () => `${from}, ${to}` });
}

/** chdir(2) to /. Throws SyscallError. */
export function changeToRoot(system: System): void {
  checked(system, "chdir", system.libc.processCalls.chdir(cString("/")), { args: () => '"/"', subject: "/" });
}

/** Makes an open directory the root and the working directory. Throws SyscallError: EPERM without CAP_SYS_CHROOT. */
export function changeRoot(system: System, directory: Fd, path: string): void {
  const calls = system.libc.processCalls;
  checked(system, "fchdir", calls.fchdir(directory.number), {
    args: () => `${directory.number}`,
    subject: path,
  });
  checked(system, "chroot", calls.chroot(cString(".")), { args: () => '"."', subject: path });
  system.rootChanged = true;
  changeToRoot(system);
}

/** A user with primary and supplementary groups. */
export interface UserIdentity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Changes user and groups on all threads that libc knows: groups first, because that needs the old user's rights. */
export function becomeUser(system: System, { uid, gid, groups }: UserIdentity): void {
  const calls = system.libc.processCalls;
  const list = new Uint32Array(groups.length + 1);
  list.set(groups);
  const set = calls.setgroups(groups.length, new Uint8Array(list.buffer));
  checked(system, "setgroups", set, { args: () => `${groups.length}, [${groups.join(", ")}]` });
  checked(system, "setresgid", calls.setresgid(gid, gid, gid), {
    args: () => `${gid}, ${gid}, ${gid}`,
    subject: `${gid}`,
  });
  checked(system, "setresuid", calls.setresuid(uid, uid, uid), {
    args: () => `${uid}, ${uid}, ${uid}`,
    subject: `${uid}`,
  });
}

/** Opens the directory of this process's threads in /proc, to be read after /proc may be out of reach. */
export function openThreadDirectory(system: System): Fd {
  return openFile(system, "/proc/self/task", O_RDONLY | O_DIRECTORY[KERNEL_ARCHITECTURE]);
}

/** Returns the status of every thread (proc_pid_status(5)). Throws SyscallError. */
export function threadStatuses(system: System, threads: Fd): string[] {
  const names = directoryNames(system, threads);
  if (typeof names === "number") throw new SyscallError("getdents64", -names, "/proc/self/task");
  return names.filter((name) => /^\d+$/.test(name)).map((name) => statusOf(system, threads, name));
}

function statusOf(system: System, threads: Fd, name: string): string {
  const path = `${name}/status`;
  const number = system.libc.processCalls.openat(threads.number, cString(path), O_RDONLY | O_CLOEXEC, 0);
  const args = () => `${threads.number}, "${path}", O_CLOEXEC`;
  using fd = new Fd(system, checked(system, "openat", number, { args, subject: `/proc/self/task/${path}` }));
  const bytes = new Uint8Array(16 * 1024);
  const got = readSome(system, fd.number, bytes);
  if (got < 0) throw new SyscallError("read", -got, `/proc/self/task/${path}`);
  return new TextDecoder().decode(bytes.subarray(0, got));
}

/** Sets the process name; the kernel keeps 15 bytes of it. */
export function setProcessName(system: System, name: string): void {
  const text = cString(name);
  const named = system.libc.processCalls.prctl(PR_SET_NAME, addressOf(text), 0, 0, 0);
  checked(system, "prctl", named, { args: () => `PR_SET_NAME, ${JSON.stringify(name)}` });
}

/**
 * Makes the kernel send SIGTERM when the parent process exits. Returns the id of the parent, 1 if it has exited
 * already.
 */
export function setParentDeathSignal(system: System): number {
  const set = system.libc.processCalls.prctl(PR_SET_PDEATHSIG, SIGNALS.SIGTERM, 0, 0, 0);
  checked(system, "prctl", set, { args: () => "PR_SET_PDEATHSIG, SIGTERM" });
  return system.libc.processCalls.getppid();
}

/** umask(2): the mode bits that new files of this process do not get. */
export function setUmask(system: System, mask: number): void {
  system.libc.umask(mask);
}
