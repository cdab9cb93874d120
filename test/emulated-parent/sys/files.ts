/** Files, pipes and mappings of the supervisor itself. */

import { AT_EMPTY_PATH, AT_FDCWD, FS, HUGE_PAGE, MAP, MFD, NR, O, POLL, PROT } from "./kernel.ts";
import { addressOf, call, cString, fixedBytes, mustCall, viewOf } from "./libc.ts";

/** Paths are short and used at once, so one buffer serves for all of them. */
const pathBuffer = Buffer.from(new ArrayBuffer(4096));
const pathAddress = addressOf(pathBuffer);
const statBuffer = new BigUint64Array(new ArrayBuffer(144)); // sizeof(struct stat), asm/stat.h
const statAddress = addressOf(statBuffer);
const pair = new Int32Array(new ArrayBuffer(8));

function putPath(path: string): number {
  const length = pathBuffer.write(path, 0, 4095, "utf8");
  pathBuffer[length] = 0;
  return pathAddress;
}

/** Returns device and inode of an open file as one key; undefined if the path names none. */
export function identityOf(path: string, fd = AT_FDCWD): string | undefined {
  const flags = path === "" ? AT_EMPTY_PATH : 0;
  if (call(NR.newfstatat, fd, putPath(path), statAddress, flags) < 0) return undefined;
  return `${statBuffer[0]}:${statBuffer[1]}`;
}

/** Returns the length of an open file in bytes; 0 if it is unknown. */
export function lengthOf(fd: number): number {
  if (identityOf("", fd) === undefined) return 0;
  return Number(statBuffer[6] ?? 0n); // st_size is at offset 48
}

/** Opens a file; returns its descriptor or the negated errno. */
export function openFile(path: string, flags: number, mode = 0): number {
  return call(NR.openat, AT_FDCWD, putPath(path), flags | O.CLOEXEC, mode);
}

/** Closes a descriptor. */
export function closeFd(fd: number): void {
  call(NR.close, fd);
}

/** A pipe: its read end and its write end, both close-on-exec. */
export function makePipe(): { readEnd: number; writeEnd: number } {
  mustCall("pipe2", NR.pipe2, addressOf(pair), O.CLOEXEC);
  return { readEnd: pair[0] ?? -1, writeEnd: pair[1] ?? -1 };
}

/** A memfd with the given bytes in it, at position 0. */
export function makeMemfd(name: string, content: Uint8Array): number {
  const fd = mustCall("memfd_create", NR.memfd_create, putPath(name), MFD.CLOEXEC);
  writeAt(fd, content, 0);
  return fd;
}

/** Writes all bytes at a position of a file. */
export function writeAt(fd: number, content: Uint8Array, position: number): void {
  const chunk = 1 << 30; // one write(2) writes at most 2 GiB - 4 KiB
  for (let done = 0; done < content.length; done += chunk) {
    const part = content.subarray(done, done + chunk);
    mustCall("pwrite64", NR.pwrite64, fd, addressOf(part), part.length, position + done);
  }
}

/** Reads up to `length` bytes from a position on; fewer at the end. */
export function readAt(fd: number, length: number, position: number): Uint8Array<ArrayBuffer> {
  const bytes = fixedBytes(length);
  const got = call(NR.pread64, fd, addressOf(bytes), length, position);
  return bytes.subarray(0, Math.max(0, got));
}

/** Reads what is available; returns the number of bytes (0 at the end) or the negated errno. */
export function readSome(fd: number, into: Uint8Array): number {
  return call(NR.read, fd, addressOf(into), into.length);
}

/** Writes what fits; returns the number of bytes or the negated errno. */
export function writeSome(fd: number, bytes: Uint8Array): number {
  return call(NR.write, fd, addressOf(bytes), bytes.length);
}

const pollRecord = new Int32Array(new ArrayBuffer(8));

/** Returns which of the given events a descriptor has at this moment (error and hang-up are always included). */
export function readiness(fd: number, events: number): number {
  pollRecord[0] = fd;
  pollRecord[1] = events;
  if (call(NR.poll, addressOf(pollRecord), 1, 0) <= 0) return 0;
  return ((pollRecord[1] ?? 0) >>> 16) & (events | POLL.ERR | POLL.HUP);
}

/** Creates a tmpfs that is mounted nowhere, so that it vanishes with this process; undefined if the kernel refuses. */
export function makeTmpfs(options: Readonly<Record<string, string>> = {}): number | undefined {
  const type = cString("tmpfs");
  const context = call(NR.fsopen, addressOf(type), FS.CLOEXEC);
  if (context < 0) return undefined;
  let configured = true;
  for (const [name, text] of Object.entries(options)) {
    const [key, value] = [cString(name), cString(text)];
    if (call(NR.fsconfig, context, FS.SET_STRING, addressOf(key), addressOf(value), 0) !== 0)
      configured = false;
  }
  configured &&= call(NR.fsconfig, context, FS.CREATE, 0, 0, 0) === 0;
  const mount = configured ? call(NR.fsmount, context, FS.CLOEXEC, 0) : -1;
  closeFd(context);
  return mount < 0 || type.length === 0 ? undefined : mount;
}

/** Creates a tmpfs whose files are mapped at 2 MiB boundaries: with huge=always the kernel chooses such addresses. */
export function makeHugeTmpfs(): number | undefined {
  return makeTmpfs({ huge: "always", size: "0" });
}

/** Creates an unnamed file in a directory given by descriptor; returns its descriptor or the negated errno. */
export function makeNamelessFile(directory: number): number {
  return call(NR.openat, directory, putPath("."), O.TMPFILE | O.RDWR | O.CLOEXEC, 0o600);
}

/** Returns the type of a file's file system, and its block size, which is the page size in hugetlbfs. */
export function fileSystemOf(fd: number): { type: number; blockBytes: number } {
  const buffer = new BigUint64Array(new ArrayBuffer(120)); // sizeof(struct statfs), asm-generic/statfs.h
  if (call(NR.fstatfs, fd, addressOf(buffer)) < 0) return { type: 0, blockBytes: 0 };
  return { type: Number(buffer[0] ?? 0n), blockBytes: Number(buffer[1] ?? 0n) };
}

/** A range of a file in the supervisor's memory; released once. */
export class Mapping {
  private constructor(
    private address: number,
    readonly view: Uint8Array<ArrayBuffer>,
    private readonly mappedBytes: number,
  ) {}

  /** Maps a range of a file and touches every page of it in ascending order; throws SyscallError. */
  static ofFile(fd: number, offset: number, length: number): Mapping {
    const flags = MAP.SHARED | MAP.POPULATE;
    const address = mustCall("mmap", NR.mmap, 0, length, PROT.READ | PROT.WRITE, flags, fd, offset);
    return new Mapping(address, viewOf(address, length), length);
  }

  /** Maps zeroed memory. Throws SyscallError. */
  static ofNothing(length: number): Mapping {
    const flags = MAP.PRIVATE | MAP.ANONYMOUS;
    const address = mustCall("mmap", NR.mmap, 0, length, PROT.READ | PROT.WRITE, flags, -1, 0);
    return new Mapping(address, viewOf(address, length), length);
  }

  /** Unmaps the memory; the view must not be used again. */
  release(): void {
    if (this.address !== 0) call(NR.munmap, this.address, this.mappedBytes);
    this.address = 0;
  }
}

const textBuffer = Buffer.from(new ArrayBuffer(65_536));

/**
 * Reads a short file of /proc in one call, which is several times faster than node:fs; undefined if it does not exist.
 */
export function readShortFile(path: string): string | undefined {
  const fd = openFile(path, 0);
  if (fd < 0) return undefined;
  const length = readSome(fd, textBuffer);
  closeFd(fd);
  return length < 0 ? undefined : textBuffer.toString("latin1", 0, length);
}

const IN_CLOSE_NOWRITE = 0x10; // linux/inotify.h
const IN_DELETE_SELF = 0x400; // linux/inotify.h

/** Reports when a file is no longer in use, by descriptor or mapping; polled through `fd`. */
export class UseWatch {
  /** Readable when there is something to report. */
  readonly fd = mustCall("inotify_init1", NR.inotify_init1, O.NONBLOCK | O.CLOEXEC);

  /** Watches an unnamed file until its last descriptor and mapping are gone; returns the watch's number. */
  untilUnused(fd: number): number {
    return call(NR.inotify_add_watch, this.fd, putPath(`/proc/self/fd/${fd}`), IN_DELETE_SELF);
  }

  /**
   * Watches a pipe until its read end is closed, however many dup and fork have made of it; returns the watch's number.
   */
  untilReaderGone(readEnd: number): number {
    return call(NR.inotify_add_watch, this.fd, putPath(`/proc/self/fd/${readEnd}`), IN_CLOSE_NOWRITE);
  }

  /** Ends a watch. */
  forget(watch: number): void {
    call(NR.inotify_rm_watch, this.fd, watch);
  }

  /** Returns the watches that have ended since the last call. */
  ended(): Set<number> {
    const buffer = fixedBytes(4096);
    const records = new DataView(buffer.buffer);
    const ended = new Set<number>();
    for (let length = readSome(this.fd, buffer); length > 0; length = readSome(this.fd, buffer)) {
      // struct inotify_event (linux/inotify.h): s32 wd, u32 mask, u32 cookie, u32 len, name[len]
      for (let at = 0; at + 16 <= length; at += 16 + records.getUint32(at + 12, true)) {
        const mask = records.getUint32(at + 4, true);
        if ((mask & (IN_CLOSE_NOWRITE | IN_DELETE_SELF)) !== 0) ended.add(records.getInt32(at, true));
      }
    }
    return ended;
  }
}

/** Whether a number is a multiple of 2 MiB. */
export function isHugeAligned(value: number): boolean {
  return value % HUGE_PAGE === 0;
}
