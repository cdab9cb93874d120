/** The status of files with statx(2) (Linux 4.11); files are not opened. */

import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import type { Fd } from "./files.ts";
import { addressOf, cString } from "./libc.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "./linux/fcntl.ts";
import * as stat from "./linux/stat.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { resultOrErrno, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** The status of a file. */
export interface FileStatus {
  /** Permission bits. */
  readonly mode: number;
  /** File type: S_IFREG, S_IFDIR and so on. */
  readonly kind: number;
  readonly uid: number;
  readonly gid: number;
  readonly isDirectory: boolean;
  readonly isRegular: boolean;
  readonly device: readonly [major: number, minor: number];
  readonly inode: bigint;
  /** Device and inode, which identify the file. */
  readonly identity: string;
}

/** Returns the status of the file that a path resolves to; undefined if it cannot be read. */
export function fileStatus(system: System, path: string): FileStatus | undefined {
  return statusAt(system, AT_FDCWD, path, 0);
}

/** Like fileStatus, but does not follow a link as the last component. */
export function linkStatus(system: System, path: string): FileStatus | undefined {
  return statusAt(system, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
}

/** Returns the status of an open file. */
export function fdStatus(system: System, file: Fd): FileStatus | undefined {
  return statusAt(system, file.number, "", AT_EMPTY_PATH);
}

/** Like fileStatus, for a name in an open directory. */
export function statusIn(system: System, directory: Fd, name: string): FileStatus | undefined {
  return statusAt(system, directory.number, name, 0);
}

function statusAt(system: System, directory: number, path: string, flags: number): FileStatus | undefined {
  const [name, into] = [cString(path), new Uint8Array(stat.statx.size)];
  const number = SYSCALLS.statx[KERNEL_ARCHITECTURE];
  const args = [directory, addressOf(name), flags, stat.STATX_BASIC_STATS, addressOf(into)] as const;
  const result = Number(system.libc.syscall(number, ...args));
  const shown = () => `${directory}, ${quoted(path)}, 0x${flags.toString(16)}, …`;
  if (resultOrErrno(system, "statx", result, shown) < 0) return undefined;
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
