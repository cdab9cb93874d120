/**
 * Files that the launcher makes or writes. It runs as root, and in a folder that anybody may write to (/tmp) somebody
 * may have put a link or a file of his own at such a path: those are refused, by the rules of the kernel's
 * protected_symlinks and protected_regular (proc_sys_fs(5)), which not every machine has on.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { Failure } from "./failure.ts";
import { type Fd, openFile, realPath, removeFile } from "./files.ts";
import { addressOf, cString } from "./libc.ts";
import { O_NOFOLLOW, O_TRUNC } from "./linux/fcntl.ts";
import * as stat from "./linux/stat.ts";
import { resultOrErrno, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** What a file is: its kind and rights (st_mode), its owner, and what tells it from every other file. */
export interface FileStatus {
  readonly mode: number;
  readonly uid: number;
  /** Device and inode. */
  readonly identity: string;
}

/** A path, or an open file. @param follow links, the last one too. Gives undefined where there is no such file. */
export function statusOf(system: System, file: string | Fd, follow = false): FileStatus | undefined {
  return typeof file === "string"
    ? statx(system, stat.AT_FDCWD, file, follow ? 0 : stat.AT_SYMLINK_NOFOLLOW)
    : statx(system, file.number, "", stat.AT_EMPTY_PATH);
}

/** As statusOf with `follow`, of a file in an open folder. */
export function statusIn(system: System, folder: Fd, name: string): FileStatus | undefined {
  return statx(system, folder.number, name, 0);
}

function statx(system: System, folder: number, path: string, flags: number): FileStatus | undefined {
  const [name, into] = [cString(path), new Uint8Array(stat.statx.size)];
  const number = stat.NR_STATX[KERNEL_ARCHITECTURE];
  // The kernel takes the low half of the folder's word for an int.
  const args = [folder >>> 0, addressOf(name), flags, stat.STATX_BASIC_STATS, addressOf(into)] as const;
  const result = Number(system.libc.syscall(number, ...args));
  const told = () => `${folder}, ${quoted(path)}, 0x${flags.toString(16)}, …`;
  if (resultOrErrno(system, "statx", result, told) < 0) return undefined;
  const { stx_mode, stx_uid, stx_ino, stx_dev_major, stx_dev_minor } = stat.statx.decode(into);
  return { mode: stx_mode, uid: stx_uid, identity: `${stx_dev_major}:${stx_dev_minor}:${stx_ino}` };
}

/** Whether a file is a socket. */
export function isSocket({ mode }: FileStatus): boolean {
  return (mode & stat.S_IFMT) === stat.S_IFSOCK;
}

/**
 * Opens a file for writing, as openFile does with the same flags.
 * Throws SyscallError; Failure for what somebody else has put there.
 */
export function openOutput(system: System, path: string, flags: number, mode: number): Fd {
  const folder = statusOf(system, path.slice(0, path.lastIndexOf("/") + 1) || ".", true);
  if (folder === undefined || (folder.mode & stat.S_IWOTH) === 0) return openFile(system, path, flags, mode);
  const trusted = [0, folder.uid, process.geteuid?.() ?? 0];
  const kept = flags & ~O_TRUNC;
  let file: Fd;
  try {
    file = openFile(system, path, kept | O_NOFOLLOW[KERNEL_ARCHITECTURE], mode);
  } catch (error) {
    // ELOOP, or EACCES where O_CREAT meets somebody else's.
    const there = statusOf(system, path);
    if (there === undefined || (there.mode & stat.S_IFMT) !== stat.S_IFLNK) throw error;
    if (!trusted.includes(there.uid)) throw foreign(path, "link", there.uid);
    return openFile(system, path, flags, mode);
  }
  const { mode: found = 0, uid } = statusOf(system, file) ?? {};
  const kind = found & stat.S_IFMT;
  if (kind !== stat.S_IFREG && kind !== stat.S_IFIFO) return file;
  if (uid === undefined || !trusted.includes(uid)) {
    file.close();
    throw foreign(path, kind === stat.S_IFIFO ? "FIFO" : "file", uid);
  }
  // It is emptied only now that it is known whose it is.
  if ((flags & O_TRUNC) !== 0 && kind === stat.S_IFREG) {
    const emptied = system.libc.ftruncate(file.number, 0);
    resultOrErrno(system, "ftruncate", emptied, () => `${file.number}, 0`);
  }
  return file;
}

function foreign(path: string, kind: string, uid: number | undefined): Failure {
  const owner = uid === undefined ? "somebody" : `user ${uid}`;
  const why = `it is a ${kind} of ${owner}'s in a folder that anybody may write to, and is not written`;
  return new Failure(path, why, "name a file in a folder of your own, such as /run/nitro");
}

/**
 * How a file that has just been made here goes at the end: by its whole path, for the working directory may be another
 * one by then; not at all where another file has its path by then, nor once the root is another one.
 */
export function removerOf(system: System, path: string): () => void {
  const folder = path.startsWith("/") ? "" : `${realPath(system, ".") ?? "."}/`;
  const made = statusOf(system, path)?.identity;
  return () => {
    if (system.rootChanged || statusOf(system, `${folder}${path}`)?.identity !== made) return;
    removeFile(system, `${folder}${path}`);
  };
}
