/** -pidfile: the process id, in a file that is locked while nitro runs and removed at the end, as in QEMU. */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type FileStatus, fdStatus, fileStatus, statusIn } from "../../sys/file-status.ts";
import { type Fd, openDirectory, removeAt, removeFile, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_NONBLOCK, O_WRONLY } from "../../sys/linux/fcntl.ts";
import { openOutput } from "../../sys/output-files.ts";
import { shellQuote } from "../../sys/shell-quote.ts";
import { checked, type System } from "../../sys/system.ts";
import type { Typed } from "../options.ts";

/**
 * How the file is removed at the end: by its path; by name in an open directory, if the working directory changes; or
 * truncated only, if it is unreachable after a change of the root directory.
 */
export type PidFileRemoval = "by path" | "in its directory" | "truncate only";

/** Maximum attempts to lock the file, if other launchers keep removing it before it is locked. */
const MAX_ATTEMPTS = 20;

/** Writes the file; disposal removes it. Throws UserError if another launch holds it. */
export function writePidFile(
  system: System,
  { value: path, typed }: Typed<string>,
  removal: PidFileRemoval = "by path",
): Disposable {
  using directory = new DisposableStack();
  try {
    const file = lockedFile(system, path);
    try {
      checked(system, "ftruncate", system.libc.ftruncate(file.number, 0), {
        args: () => `${file.number}, 0`,
        subject: path,
      });
      const text = new TextEncoder().encode(`${process.pid}\n`);
      const written = writeSome(system, file.number, addressOf(text), text.length);
      if (written !== text.length) {
        // Do not leave an empty file. The lock proves that it belongs to this launch.
        if (isSame(system, fileStatus(system, path), file)) removeFile(system, path);
        throw new SyscallError("write", written < 0 ? -written : ERRNO.ENOSPC, path);
      }
    } catch (error) {
      file.close();
      throw error;
    }
    const slash = path.lastIndexOf("/");
    const parent =
      removal === "in its directory"
        ? directory.use(openDirectory(system, path.slice(0, slash + 1) || "."))
        : undefined;
    const owned = directory.move();
    return {
      [Symbol.dispose]() {
        const name = path.slice(slash + 1);
        if (parent !== undefined) {
          if (isSame(system, statusIn(system, parent, name), file)) removeAt(system, parent, name);
        } else if (removal === "by path" && isSame(system, fileStatus(system, path), file))
          removeFile(system, path);
        // A process without the privilege to remove the file can still truncate it, so that no stale pid remains.
        if (removal !== "by path") system.libc.ftruncate(file.number, 0);
        file.close();
        owned.dispose();
      },
    };
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const locked = error.call === "flock" && error.errno === ERRNO.EAGAIN;
    if (locked)
      throw new UserError(typed, "in use by another launcher", `cat ${shellQuote(path)} prints its pid`);
    throw new UserError(typed, error.why);
  }
}

/** Opens and locks the file, again if the launch that held it removed it in between. Throws SyscallError. */
function lockedFile(system: System, path: string): Fd {
  for (let left = MAX_ATTEMPTS; ; left--) {
    const file = openOutput(system, path, O_WRONLY | O_CREAT | O_NONBLOCK, 0o644);
    try {
      const locked = system.libc.flock(file.number, LOCK_EX | LOCK_NB);
      checked(system, "flock", locked, { args: () => `${file.number}, LOCK_EX|LOCK_NB`, subject: path });
      if (left === 0 || isSame(system, fileStatus(system, path), file)) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

/** Whether the file at a path is this open file; true if its own status cannot be read. */
function isSame(system: System, found: FileStatus | undefined, file: Fd): boolean {
  const own = fdStatus(system, file);
  return own === undefined || found?.identity === own.identity;
}
