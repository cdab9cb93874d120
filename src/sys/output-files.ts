/**
 * Files that the launcher creates or writes. It runs as root, and in a world-writable directory (/tmp) another user
 * may have put a link or a file of his own at such a path: those are refused, by the rules of the kernel's
 * protected_symlinks and protected_regular (proc_sys_fs(5)), which not every machine has on.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { UserError } from "./errors.ts";
import { fileStatus, linkStatus, openStatus } from "./file-status.ts";
import { type Fd, openFile, realPath, removeFile } from "./files.ts";
import { O_NOFOLLOW, O_TRUNC } from "./linux/fcntl.ts";
import * as stat from "./linux/stat.ts";
import { resultOrErrno, type System } from "./system.ts";

/**
 * Opens a file for writing, as openFile does with the same flags.
 * Throws SyscallError; UserError for what somebody else has put there.
 */
export function openOutput(system: System, path: string, flags: number, mode: number): Fd {
  const directory = fileStatus(system, path.slice(0, path.lastIndexOf("/") + 1) || ".");
  if (directory === undefined || (directory.mode & stat.S_IWOTH) === 0)
    return openFile(system, path, flags, mode);
  const trusted = [0, directory.uid, process.geteuid?.() ?? 0];
  const kept = flags & ~O_TRUNC;
  let file: Fd;
  try {
    file = openFile(system, path, kept | O_NOFOLLOW[KERNEL_ARCHITECTURE], mode);
  } catch (error) {
    // ELOOP, or EACCES where O_CREAT meets somebody else's.
    const there = linkStatus(system, path);
    if (there?.kind !== stat.S_IFLNK) throw error;
    if (!trusted.includes(there.uid)) throw foreign(path, "link", there.uid);
    return openFile(system, path, flags, mode);
  }
  const { kind, uid } = openStatus(system, file) ?? {};
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

function foreign(path: string, kind: string, uid: number | undefined): UserError {
  const owner = uid === undefined ? "somebody" : `user ${uid}`;
  const why = `it is a ${kind} of ${owner}'s in a directory that anybody may write to, and is not written`;
  return new UserError(path, why, "name a file in a directory of your own, such as /run/nitro");
}

/**
 * How a file that has just been made here goes at the end: by its whole path, for the working directory may be another
 * one by then; not at all where another file has its path by then, nor once the root is another one.
 */
export function removerOf(system: System, path: string): () => void {
  const directory = path.startsWith("/") ? "" : `${realPath(system, ".") ?? "."}/`;
  const made = linkStatus(system, path)?.identity;
  return () => {
    if (system.rootChanged || linkStatus(system, `${directory}${path}`)?.identity !== made) return;
    removeFile(system, `${directory}${path}`);
  };
}
