/** What a path leads to, by statx(2) (Linux 4.11); nothing is opened. */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { addressOf, cString } from "./libc.ts";
import { AT_FDCWD } from "./linux/fcntl.ts";
import { NR_STATX, S_IFDIR, S_IFMT, S_IFREG, STATX_BASIC_STATS, statx } from "./linux/stat.ts";
import { resultOrErrno, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** A file as the kernel tells of it. */
export interface FileStatus {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly isFolder: boolean;
  readonly isRegular: boolean;
  /** The file's identity: its device's numbers and its inode. */
  readonly device: readonly [major: number, minor: number];
  readonly inode: bigint;
}

/** The status of what a path leads to; undefined where that cannot be told. */
export function fileStatus(system: System, path: string): FileStatus | undefined {
  const name = cString(path);
  const bytes = new Uint8Array(statx.size);
  const nr = NR_STATX[KERNEL_ARCHITECTURE];
  const [at, into] = [addressOf(name), addressOf(bytes)];
  const called = Number(system.libc.syscall(nr, AT_FDCWD, at, 0, STATX_BASIC_STATS, into));
  if (resultOrErrno(system, "statx", called, () => `AT_FDCWD, ${quoted(path)}, 0, …`) < 0) return undefined;
  const { stx_mode, stx_uid, stx_gid, stx_ino, stx_dev_major, stx_dev_minor } = statx.decode(bytes);
  return {
    mode: stx_mode & 0o7777,
    uid: stx_uid,
    gid: stx_gid,
    isFolder: (stx_mode & S_IFMT) === S_IFDIR,
    isRegular: (stx_mode & S_IFMT) === S_IFREG,
    device: [stx_dev_major, stx_dev_minor],
    inode: stx_ino,
  };
}
