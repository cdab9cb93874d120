/** What files are, by statx(2) (Linux 4.11); nothing is opened. */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import type { Fd } from "./files.ts";
import { addressOf, cString } from "./libc.ts";
import { AT_FDCWD } from "./linux/fcntl.ts";
import * as stat from "./linux/stat.ts";
import { resultOrErrno, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** A file as the kernel tells of it. */
export interface FileStatus {
  /** Permission bits. */
  readonly mode: number;
  /** S_IFREG and its like. */
  readonly kind: number;
  readonly uid: number;
  readonly gid: number;
  readonly isDirectory: boolean;
  readonly isRegular: boolean;
  readonly device: readonly [major: number, minor: number];
  readonly inode: bigint;
  /** Device and inode, which tell it from every other file. */
  readonly identity: string;
}

/** The status of what a path leads to; undefined where that cannot be told. */
export function fileStatus(system: System, path: string): FileStatus | undefined {
  return statusAt(system, AT_FDCWD, path, 0);
}

/** As fileStatus; where the path's last part is a link, of that. */
export function linkStatus(system: System, path: string): FileStatus | undefined {
  return statusAt(system, AT_FDCWD, path, stat.AT_SYMLINK_NOFOLLOW);
}

/** The status of an open file. */
export function openStatus(system: System, file: Fd): FileStatus | undefined {
  return statusAt(system, file.number, "", stat.AT_EMPTY_PATH);
}

/** As fileStatus, of a file in an open directory. */
export function statusIn(system: System, directory: Fd, name: string): FileStatus | undefined {
  return statusAt(system, directory.number, name, 0);
}

function statusAt(system: System, directory: number, path: string, flags: number): FileStatus | undefined {
  const [name, into] = [cString(path), new Uint8Array(stat.statx.size)];
  const number = stat.NR_STATX[KERNEL_ARCHITECTURE];
  // The kernel takes the low half of the directory's word for an int.
  const args = [directory >>> 0, addressOf(name), flags, stat.STATX_BASIC_STATS, addressOf(into)] as const;
  const result = Number(system.libc.syscall(number, ...args));
  const told = () => `${directory}, ${quoted(path)}, 0x${flags.toString(16)}, …`;
  if (resultOrErrno(system, "statx", result, told) < 0) return undefined;
  const { stx_mode, stx_uid, stx_gid, stx_ino, stx_dev_major, stx_dev_minor } = stat.statx.decode(into);
  const kind = stx_mode & stat.S_IFMT;
  return {
    mode: stx_mode & 0o7777,
    kind,
    uid: stx_uid,
    gid: stx_gid,
    isDirectory: kind === stat.S_IFDIR,
    isRegular: kind === stat.S_IFREG,
    device: [stx_dev_major, stx_dev_minor],
    inode: stx_ino,
    identity: `${stx_dev_major}:${stx_dev_minor}:${stx_ino}`,
  };
}
