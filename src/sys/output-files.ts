/**
 * Files that nitro creates or writes. It runs as root, and in a world-writable directory another user may have placed
 * a link or a file at the path. Those are refused by the rules of protected_symlinks and protected_regular
 * (proc_sys_fs(5)), which are not enabled everywhere.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { UserError } from "./errors.ts";
import { fdStatus, fileStatus, linkStatus } from "./file-status.ts";
import { type Fd, openFile, realPath, removeFile } from "./files.ts";
import { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } from "./linux/fcntl.ts";
import * as stat from "./linux/stat.ts";
import { resultOrErrno, type System } from "./system.ts";

/** Opens a file for writing, like openFile. Throws SyscallError; UserError for a file or link of another user. */
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
    // ELOOP for a link; EACCES where O_CREAT meets a file of another user.
    const existing = linkStatus(system, path);
    if (existing?.kind !== stat.S_IFLNK) throw error;
    if (!trusted.includes(existing.uid)) throw foreignFile(path, "symbolic link", existing.uid);
    return openFile(system, path, flags, mode);
  }
  const { kind, uid } = fdStatus(system, file) ?? {};
  if (kind !== stat.S_IFREG && kind !== stat.S_IFIFO) return file;
  if (uid === undefined || !trusted.includes(uid)) {
    file.close();
    throw foreignFile(path, kind === stat.S_IFIFO ? "FIFO" : "file", uid);
  }
  // Truncated only after its owner is known.
  if ((flags & O_TRUNC) !== 0 && kind === stat.S_IFREG) {
    const emptied = system.libc.ftruncate(file.number, 0);
    resultOrErrno(system, "ftruncate", emptied, () => `${file.number}, 0`);
  }
  return file;
}

/**
 * Returns the flags of open(2) for a file that is written for as long as nitro runs: created, truncated unless it
 * `append`s, and always written at its end. Without O_APPEND, a file that has reached a size limit would stay at it
 * even when it is truncated, and one on a full disk would get a hole. With O_NONBLOCK, open(2) fails with ENXIO on a
 * FIFO without a reader instead of blocking.
 */
export function logFlags(append: boolean): number {
  return O_WRONLY | O_CREAT | O_NONBLOCK | O_APPEND | (append ? 0 : O_TRUNC);
}

function foreignFile(path: string, kind: string, uid: number | undefined): UserError {
  const owner = uid === undefined ? "unknown" : `user ${uid}`;
  const why = `refused to write to a ${kind} in a world-writable directory (owner: ${owner})`;
  return new UserError(
    path,
    why,
    "choose a path in a directory that only you can write to, such as /run/nitro",
  );
}

/** Returns a path that names the same file when the working directory has changed. */
export function absolutePath(system: System, path: string): string {
  return path.startsWith("/") ? path : `${realPath(system, ".") ?? "."}/${path}`;
}

/**
 * Returns a function that removes a file just created. It uses the absolute path, because the working directory may
 * change; it does nothing if the path names another file by then, or if the root directory has changed.
 */
export function fileRemover(system: System, path: string): () => void {
  const absolute = absolutePath(system, path);
  const created = linkStatus(system, path)?.identity;
  return () => {
    if (system.rootChanged || linkStatus(system, absolute)?.identity !== created) return;
    removeFile(system, absolute);
  };
}
