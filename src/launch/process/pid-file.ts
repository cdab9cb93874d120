/** -pidfile: the process id, in a file that is locked while nitro runs and removed at the end, as in QEMU. */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type FileStatus, fdStatus, fileStatus, statusIn } from "../../sys/file-status.ts";
import { type Fd, openDirectory, removeAt, removeFile, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_NONBLOCK, O_WRONLY } from "../../sys/linux/fcntl.ts";
import { openOutput } from "../../sys/output-files.ts";
import { checked, type System } from "../../sys/system.ts";
import type { Typed } from "../options.ts";

/**
 * How the file is removed at the end: by its path; by name in an open directory, if the working directory changes; or
 * emptied, if it is unreachable after a change of the root directory.
 */
export type PidFileEnd = "by path" | "in its directory" | "emptied";

/** Attempts to lock the file when it was removed from its path in between. */
const MOST_TRIES = 20;

/** Writes the file; disposal removes it. Throws UserError if another launch holds it. */
export function writePidFile(
  system: System,
  { value: path, typed: what }: Typed<string>,
  end: PidFileEnd = "by path",
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
      const put = writeSome(system, file.number, addressOf(text), text.length);
      if (put !== text.length) {
        // Removes the file, which is empty and locked by this launch.
        if (isSame(system, fileStatus(system, path), file)) removeFile(system, path);
        throw new SyscallError("write", put < 0 ? -put : ERRNO.ENOSPC, path);
      }
    } catch (error) {
      file.close();
      throw error;
    }
    const slash = path.lastIndexOf("/");
    const parent =
      end === "in its directory"
        ? directory.use(openDirectory(system, path.slice(0, slash + 1) || "."))
        : undefined;
    const held = directory.move();
    return {
      [Symbol.dispose]() {
        const name = path.slice(slash + 1);
        if (parent !== undefined) {
          if (isSame(system, statusIn(system, parent, name), file)) removeAt(system, parent, name);
        } else if (end === "by path" && isSame(system, fileStatus(system, path), file))
          removeFile(system, path);
        // A process without the right to remove the file can still empty it, so that no stale process id remains.
        if (end !== "by path") system.libc.ftruncate(file.number, 0);
        file.close();
        held.dispose();
      },
    };
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const held = error.call === "flock" && error.errno === ERRNO.EAGAIN;
    if (held) throw new UserError(what, "in use by another launcher", `cat ${path} tells which`);
    throw new UserError(what, error.why);
  }
}

/** Opens and locks the file, again if the launch that held it removed it in between. Throws SyscallError. */
function lockedFile(system: System, path: string): Fd {
  for (let left = MOST_TRIES; ; left--) {
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

/** Whether the file at a path is this file. */
function isSame(system: System, there: FileStatus | undefined, file: Fd): boolean {
  const own = fdStatus(system, file);
  return own === undefined || there?.identity === own.identity;
}
