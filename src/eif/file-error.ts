/** What Node's file calls throw, as a UserError in the user's words. */
import { errnoText, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";

const HINTS: ReadonlyMap<number, string> = new Map([
  [ERRNO.ENOENT, "check the path; a relative one starts at the working directory"],
  [ERRNO.EACCES, "check the permissions of the file and of the directories above it"],
  [ERRNO.EISDIR, "name a file in it"],
  [ERRNO.ENOSPC, "make room: df -h shows how much there is"],
]);

/** Runs a file call. @param what the file as the user named it. Throws UserError for what the kernel refuses. */
export function naming<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const errno = errnoOf(error);
    throw errno === undefined ? error : new UserError(what, errnoText(errno), HINTS.get(errno));
  }
}

/** The errno of what a file call has thrown; undefined for anything else. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errno" in error) || typeof error.errno !== "number") return undefined;
  return Math.abs(error.errno);
}
