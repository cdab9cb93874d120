/** File descriptors and operations on them. Paths are passed as typed, so that errors name what the user typed. */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { SyscallError } from "./errors.ts";
import { addressOf, cString } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import * as fcntl from "./linux/fcntl.ts";
import { SEEK_CUR, SEEK_END } from "./linux/fs.ts";
import { PIPE_BUF } from "./linux/limits.ts";
import { POLLFD_SIZE, POLLOUT } from "./linux/poll.ts";
import type { OutputLoss } from "./output-loss.ts";
import { checked, resultOrErrno, type System } from "./system.ts";
import { flagNames, quoted } from "./trace.ts";

/** A file descriptor with one owner; disposal closes it. */
export class Fd implements Disposable {
  #open = true;

  constructor(
    private readonly system: System,
    readonly number: number,
  ) {}

  /** Closes the descriptor; a second call does nothing. An error of close(2) appears in the trace only. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    resultOrErrno(this.system, "close", this.system.libc.close(this.number), () => `${this.number}`);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const OPEN_FLAGS = {
  O_WRONLY: fcntl.O_WRONLY,
  O_RDWR: fcntl.O_RDWR,
  O_CREAT: fcntl.O_CREAT,
  O_TRUNC: fcntl.O_TRUNC,
  O_APPEND: fcntl.O_APPEND,
  O_NONBLOCK: fcntl.O_NONBLOCK,
  O_NOFOLLOW: fcntl.O_NOFOLLOW[KERNEL_ARCHITECTURE],
  O_CLOEXEC: fcntl.O_CLOEXEC,
};

/**
 * open(2) with O_CLOEXEC and O_NOCTTY: a session leader must not acquire a controlling terminal. Throws SyscallError.
 */
export function openFile(system: System, path: string, flags: number, mode = 0): Fd {
  const all = flags | fcntl.O_CLOEXEC;
  const name = cString(path);
  const fd = system.libc.open(name, all | fcntl.O_NOCTTY, mode);
  return new Fd(
    system,
    checked(system, "open", fd, {
      args: () => `${quoted(path)}, ${flagNames(all, OPEN_FLAGS)}`,
      subject: path,
    }),
  );
}

/** Returns the size in bytes, by lseek(2). Throws SyscallError, ESPIPE for a pipe or a terminal. */
export function fileSize(system: System, fd: Fd, path: string): number {
  const end = system.libc.lseek(fd.number, 0, SEEK_END);
  return checked(system, "lseek", Number(end), { args: () => `${fd.number}, 0, SEEK_END`, subject: path });
}

/** Whether a descriptor is seekable: files are; pipes, sockets and terminals are not. */
export function isSeekable(system: System, fd: number): boolean {
  const at = Number(system.libc.lseek(fd, 0, SEEK_CUR));
  return resultOrErrno(system, "lseek", at, () => `${fd}, 0, SEEK_CUR`) >= 0;
}

/** An open file and its path for messages. */
export interface NamedFile {
  readonly fd: Fd;
  /** As the user typed it. */
  readonly path: string;
}

/**
 * pread(2) until `length` bytes are read or the file ends. Returns the number of bytes. Throws SyscallError.
 * @param range the bytes of the file, and the address in a mapping that they are read to.
 */
export function readAt(
  system: System,
  { fd, path }: NamedFile,
  { offset, length, to }: { readonly offset: number; readonly length: number; readonly to: number },
): number {
  let done = 0;
  while (done < length) {
    const [rest, at] = [length - done, offset + done];
    const returned = Number(system.libc.pread(fd.number, to + done, rest, at));
    const got = resultOrErrno(system, "pread", returned, () => `${fd.number}, …, ${rest}, ${at}`);
    if (got === -ERRNO.EINTR) continue; // a signal handler ran, and the file is on FUSE or a network
    if (got < 0) throw new SyscallError("pread", -got, path);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Like readAt, into a buffer. */
export function readBytesAt(system: System, file: NamedFile, into: Uint8Array, offset: number): number {
  return readAt(system, file, { offset, length: into.length, to: addressOf(into) });
}

/** read(2) into a buffer. Returns the number of bytes, 0 at the end, or a negative errno. */
export function readSome(system: System, fd: number, into: Uint8Array): number {
  const got = Number(system.libc.read(fd, into, into.length));
  return resultOrErrno(system, "read", got, () => `${fd}, …, ${into.length}`);
}

/** write(2) of `length` bytes at an address. Returns the number of bytes, or a negative errno. */
export function writeSome(system: System, fd: number, address: number, length: number): number {
  const put = Number(system.libc.write(fd, address, length));
  return resultOrErrno(system, "write", put, () => `${fd}, …, ${length}`);
}

/**
 * Returns the path of an existing file with all links resolved, from /proc/self/fd of an O_PATH descriptor; undefined
 * if there is no such file.
 */
export function realPath(system: System, path: string): string | undefined {
  const name = cString(path);
  const number = system.libc.open(name, fcntl.O_PATH | fcntl.O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", number, () => `${quoted(path)}, O_PATH|O_CLOEXEC`) < 0) return undefined;
  using fd = new Fd(system, number);
  const bytes = new Uint8Array(4096);
  const link = `/proc/self/fd/${fd.number}`;
  const got = Number(system.libc.readlink(cString(link), bytes, bytes.length));
  if (resultOrErrno(system, "readlink", got, () => `${quoted(link)}, …, ${bytes.length}`) < 0)
    return undefined;
  return new TextDecoder().decode(bytes.subarray(0, got));
}

/** Whether a path resolves, by an O_PATH descriptor; the file itself is not opened. */
export function pathExists(system: System, path: string): boolean {
  const name = cString(path);
  const number = system.libc.open(name, fcntl.O_PATH | fcntl.O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", number, () => `${quoted(path)}, O_PATH|O_CLOEXEC`) < 0) return false;
  new Fd(system, number).close();
  return true;
}

/**
 * Writes a text to a descriptor. Returns 0, or the negative errno of a failed write. Waits for a reader that does not
 * read, at most `timeoutMs` after the last byte it read, then returns -EAGAIN. Not traced.
 */
export function writeAll(
  system: System,
  fd: number,
  text: string,
  timeoutMs = Number.POSITIVE_INFINITY,
): number {
  return 0 - writeBytes(system, fd, new TextEncoder().encode(text), timeoutMs).errno;
}

/** Like writeAll. Returns how many bytes were written, and the errno of a failed write or 0. */
function writeBytes(system: System, fd: number, bytes: Uint8Array, timeoutMs: number) {
  let done = 0;
  let untilMs = Bun.nanoseconds() / 1e6 + timeoutMs;
  while (done < bytes.length) {
    if (!waitWritable(system, fd, untilMs)) return { done, errno: ERRNO.EAGAIN };
    const length = Math.min(PIPE_BUF, bytes.length - done);
    const put = Number(system.libc.write(fd, addressOf(bytes) + done, length));
    const errno = put === -1 ? system.libc.errno() : 0;
    if (put <= 0 && errno !== ERRNO.EINTR && errno !== ERRNO.EAGAIN) {
      return { done, errno: errno || ERRNO.EIO };
    }
    if (put > 0) untilMs = Bun.nanoseconds() / 1e6 + timeoutMs;
    done += Math.max(put, 0);
  }
  return { done, errno: 0 };
}

/** Standard streams of a process (unistd.h: STDIN_FILENO and so on). */
export const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;

/** How long a message waits for a reader that does not read; later messages do not wait. */
const MESSAGE_TIMEOUT_MS = 1_000;

/**
 * Returns a function that writes messages. A reader that does not read loses messages instead of blocking the launch.
 * @param loss accounts for what is not written; without it, that is lost silently.
 */
export function messageWriter(system: System, fd: number, loss?: OutputLoss): (text: string) => void {
  let timeoutMs = MESSAGE_TIMEOUT_MS;
  return (text) => {
    const bytes = new TextEncoder().encode(text);
    const { done, errno } = writeBytes(system, fd, bytes, timeoutMs);
    timeoutMs = errno === 0 ? MESSAGE_TIMEOUT_MS : 0;
    if (errno === 0) loss?.worked();
    else loss?.failed(errno, bytes.length - done);
  };
}

/**
 * poll(2) for space on a descriptor; returns false at the time limit. Not traced, because the trace is written with
 * it.
 */
function waitWritable(system: System, fd: number, untilMs: number): boolean {
  const pollfd = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, POLLOUT, true);
  for (;;) {
    const leftMs = untilMs - Bun.nanoseconds() / 1e6;
    const timeout = leftMs === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.ceil(leftMs));
    const ready = system.libc.poll(pollfd, 1, timeout);
    if (ready >= 0) return ready > 0;
    const errno = system.libc.errno();
    if (errno !== ERRNO.EINTR && (errno !== ERRNO.ENOMEM || leftMs <= 0)) return false;
  }
}

/** unlink(2). A failure appears in the trace only, because this is part of cleaning up. */
export function removeFile(system: System, path: string): void {
  const name = cString(path);
  resultOrErrno(system, "unlink", system.libc.unlink(name), () => quoted(path));
}

/** Opens a directory, which stays reachable when it is moved. Throws SyscallError. */
export function openDirectory(system: System, path: string): Fd {
  return openFile(system, path, fcntl.O_PATH | fcntl.O_DIRECTORY[KERNEL_ARCHITECTURE]);
}

/** Like removeFile, for a name in an open directory. */
export function removeAt(system: System, directory: Fd, name: string): void {
  const text = cString(name);
  const removed = system.libc.processCalls.unlinkat(directory.number, text, 0);
  resultOrErrno(system, "unlinkat", removed, () => `${directory.number}, ${quoted(name)}, 0`);
}

/** Returns the text of a small file of sysfs or procfs; undefined if it cannot be read. */
export function readSmallFile(system: System, path: string): string | undefined {
  const name = cString(path);
  const number = system.libc.open(name, fcntl.O_RDONLY | fcntl.O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", number, () => `${quoted(path)}, O_CLOEXEC`) < 0) return undefined;
  using fd = new Fd(system, number);
  const bytes = new Uint8Array(4096);
  const got = readSome(system, fd.number, bytes);
  return got < 0 ? undefined : new TextDecoder().decode(bytes.subarray(0, got));
}

/** Like readSmallFile, for a longer text, which is cut after `maxBytes`. */
export function readLimited(system: System, path: string, maxBytes = 256 * 1024): string | undefined {
  const name = cString(path);
  const number = system.libc.open(name, fcntl.O_RDONLY | fcntl.O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", number, () => `${quoted(path)}, O_CLOEXEC`) < 0) return undefined;
  using fd = new Fd(system, number);
  const bytes = new Uint8Array(maxBytes);
  let length = 0;
  while (length < maxBytes) {
    const got = readSome(system, fd.number, bytes.subarray(length));
    if (got < 0) return undefined;
    if (got === 0) break;
    length += got;
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}

/**
 * Writes a setting to a file of sysfs or procfs in one write(2), as the kernel expects. Returns 0, or the negative
 * errno of open or write.
 */
export function writeSetting(system: System, path: string, text: string): number {
  const name = cString(path);
  const number = system.libc.open(name, fcntl.O_WRONLY | fcntl.O_CLOEXEC, 0);
  const opened = resultOrErrno(system, "open", number, () => `${quoted(path)}, O_WRONLY|O_CLOEXEC`);
  if (opened < 0) return opened;
  using fd = new Fd(system, number);
  const bytes = new TextEncoder().encode(text);
  const put = Number(system.libc.write(fd.number, addressOf(bytes), bytes.length));
  const args = () => `${fd.number}, ${quoted(text)}, ${bytes.length}`;
  return Math.min(0, resultOrErrno(system, "write", put, args));
}

/** Limit for text files of the user: configurations and account files. */
const MAX_TEXT_FILE_BYTES = 4 * 1024 * 1024;

/** Returns a whole text file. Throws SyscallError; EFBIG for more than 4 MiB. */
export function readText(system: System, path: string): string {
  using fd = openFile(system, path, fcntl.O_RDONLY);
  let bytes = new Uint8Array(16 * 1024);
  for (let length = 0; ; ) {
    const got = readSome(system, fd.number, bytes.subarray(length));
    if (got < 0 && got !== -ERRNO.EINTR) throw new SyscallError("read", -got, path);
    if (got === 0) return new TextDecoder().decode(bytes.subarray(0, length));
    length += Math.max(got, 0);
    if (length > MAX_TEXT_FILE_BYTES) throw new SyscallError("read", ERRNO.EFBIG, path);
    if (length === bytes.length) {
      const larger = new Uint8Array(2 * bytes.length);
      larger.set(bytes);
      bytes = larger;
    }
  }
}
