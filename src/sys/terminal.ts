/** Terminals: raw mode of the user's terminal, and pseudo terminals. */

import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { Fd, openFile, readSmallFile, STDERR, STDIN, STDOUT } from "./files.ts";
import { cString } from "./libc.ts";
import { O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_RDWR } from "./linux/fcntl.ts";
import { TCGETS, TCSETS, TIOCGPGRP, TIOCGPTN, TIOCSPTLCK } from "./linux/ioctls.ts";
import * as tty from "./linux/termbits.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { checked, resultOrErrno, type System } from "./system.ts";

const OWNER_ONLY = 0o600;

/** Whether a descriptor is a terminal. */
export function isTerminal(system: System, fd: number): boolean {
  return settingsOf(system, fd) !== undefined;
}

/**
 * Whether the process depends on a terminal: standard input, output or error is one, or the process has a controlling
 * terminal, which /dev/tty names (tty(4)).
 */
export function hasTerminal(system: System): boolean {
  if (isTerminal(system, STDIN) || isTerminal(system, STDOUT) || isTerminal(system, STDERR)) return true;
  const number = system.libc.open(cString("/dev/tty"), O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", number, () => '"/dev/tty", O_NONBLOCK|O_CLOEXEC') < 0) return false;
  new Fd(system, number).close();
  return true;
}

/** Returns the settings of a terminal, or undefined for another file. */
function settingsOf(system: System, fd: number): Uint8Array | undefined {
  const bytes = new Uint8Array(tty.termios.size);
  const result = system.libc.ioctl(fd, TCGETS, bytes);
  return resultOrErrno(system, "ioctl", result, () => `${fd}, TCGETS, …`) < 0 ? undefined : bytes;
}

function set(system: System, fd: number, settings: Uint8Array): void {
  const result = system.libc.ioctl(fd, TCSETS, settings);
  resultOrErrno(system, "ioctl", result, () => `${fd}, TCSETS, …`);
}

/** Returns settings in which every key arrives at once and unchanged. Output processing stays on. */
function rawSettings(settings: Uint8Array, keepSignals: boolean): Uint8Array {
  const { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc } = tty.termios.decode(settings);
  const input =
    tty.IGNBRK | tty.BRKINT | tty.PARMRK | tty.ISTRIP | tty.INLCR | tty.IGNCR | tty.ICRNL | tty.IXON;
  const local = tty.ECHO | tty.ECHONL | tty.ICANON | tty.IEXTEN | (keepSignals ? 0 : tty.ISIG);
  const raw = {
    c_iflag: (c_iflag & ~input) >>> 0,
    c_oflag: (c_oflag | tty.OPOST) >>> 0,
    c_cflag: ((c_cflag & ~(tty.CSIZE | tty.PARENB)) | tty.CS8) >>> 0,
    c_lflag: (c_lflag & ~local) >>> 0,
    c_line,
    c_cc: c_cc.map((value, i) => (i === tty.VMIN ? 1 : i === tty.VTIME ? 0 : value)),
  };
  return tty.termios.encode(raw);
}

/** A terminal in raw mode; disposal restores it. */
export interface RawTerminal extends Disposable {
  /** Sets raw mode again: after the process was stopped and continued, or for another value of `keepSignals`. */
  again(): void;
}

/**
 * Sets a terminal to raw mode. Returns undefined if the descriptor is no terminal, or if the process is in the
 * background of the terminal: changing it would stop the process (SIGTTOU).
 * @param keepSignals whether Ctrl-C and the like still raise signals; called each time that raw mode is set.
 */
export function rawTerminal(system: System, fd: number, keepSignals: () => boolean): RawTerminal | undefined {
  const before = settingsOf(system, fd);
  if (before === undefined) return undefined;
  const group = processGroup(system);
  const isOurs = () => {
    const foreground = foregroundGroup(system, fd);
    return group === undefined || foreground === undefined || foreground === group;
  };
  if (!isOurs()) return undefined;
  const change = (settings: Uint8Array) => {
    if (isOurs()) set(system, fd, settings);
  };
  const again = () => change(rawSettings(before, keepSignals()));
  again();
  return { again, [Symbol.dispose]: () => change(before) };
}

/** proc_pid_stat(5): field 5 is the process group. */
function processGroup(system: System): number | undefined {
  const stat = readSmallFile(system, "/proc/self/stat");
  const group = Number(stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
  return Number.isInteger(group) ? group : undefined;
}

/**
 * Returns the foreground process group of a terminal; undefined if it is not the controlling terminal of this
 * process.
 */
function foregroundGroup(system: System, fd: number): number | undefined {
  const value = new Uint8Array(4);
  const result = system.libc.ioctl(fd, TIOCGPGRP, value);
  const group = () => new DataView(value.buffer).getInt32(0, true);
  const args = () => `${fd}, TIOCGPGRP, [${group()}]`;
  return resultOrErrno(system, "ioctl", result, args) < 0 || group() <= 0 ? undefined : group();
}

/** Opens a pseudo terminal in raw mode: both ends, and the path of the other end. Throws SyscallError. */
export function openPty(system: System): { readonly master: Fd; readonly other: Fd; readonly path: string } {
  const master = openFile(system, "/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY);
  try {
    const value = new Uint8Array(4);
    const unlocked = system.libc.ioctl(master.number, TIOCSPTLCK, value);
    checked(system, "ioctl", unlocked, {
      args: () => `${master.number}, TIOCSPTLCK, [0]`,
      subject: "/dev/ptmx",
    });
    const numbered = system.libc.ioctl(master.number, TIOCGPTN, value);
    checked(system, "ioctl", numbered, { args: () => `${master.number}, TIOCGPTN, …`, subject: "/dev/ptmx" });
    const path = `/dev/pts/${new DataView(value.buffer).getUint32(0, true)}`;
    const other = openFile(system, path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    makeRaw(system, other);
    keepToOwner(system, other, path);
    return { master, other, path };
  } catch (error) {
    master.close();
    throw error;
  }
}

/**
 * Restricts a terminal to its owner: group tty may write to terminals, and a writer to a monitor can stop the
 * enclave.
 */
function keepToOwner(system: System, terminal: Fd, path: string): void {
  const { libc } = system;
  const result = Number(
    libc.syscall(SYSCALLS.fchmod[KERNEL_ARCHITECTURE], terminal.number, OWNER_ONLY, 0, 0, 0),
  );
  checked(system, "fchmod", result, { args: () => `${terminal.number}, 0600`, subject: path });
}

function makeRaw(system: System, terminal: Fd): void {
  const settings = settingsOf(system, terminal.number);
  if (settings === undefined) return;
  const { c_oflag, ...rest } = tty.termios.decode(rawSettings(settings, false));
  set(system, terminal.number, tty.termios.encode({ ...rest, c_oflag: (c_oflag & ~tty.OPOST) >>> 0 }));
}
