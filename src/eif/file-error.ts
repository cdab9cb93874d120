/** Turns the errors of file calls, nitro's own and Node's, into a UserError that names the file as the user did. */
import { errnoText, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";

const HINTS: ReadonlyMap<number, string> = new Map([
  [ERRNO.ENOENT, "check the path; a relative one starts at the working directory"],
  [ERRNO.EACCES, "check the permissions of the file and of the directories above it"],
  [ERRNO.EISDIR, "name a file in it"],
  [ERRNO.ENOSPC, "free some space: df -h shows the file systems"],
  [ERRNO.ESPIPE, "save it to a file first"],
]);

/** Runs a file call. @param what the file as messages name it: `-kernel vmlinuz`. Throws UserError. */
export function withFileErrors<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const errno = errnoOf(error);
    throw errno === undefined ? error : fileError(what, errno);
  }
}

/** The errno that a file call has thrown; undefined for any other error. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errno" in error) || typeof error.errno !== "number") return undefined;
  // Node's are negative.
  return Math.abs(error.errno);
}

function fileError(what: string, errno: number): UserError {
  const why =
    errno === ERRNO.ESPIPE
      ? "not a regular file: nitro must know its size before reading it"
      : errnoText(errno);
  return new UserError(what, why, HINTS.get(errno));
}
