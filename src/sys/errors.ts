/** The errors that a user sees, and the names of errno values. */
import { ERRNO_TEXTS } from "./errno-text.ts";
import { ERRNO } from "./linux/errno.ts";
import { NE_ERRORS } from "./linux/nitro_enclaves.ts";

/** The fix for a problem, in a form that a shell or a command line accepts unchanged. */
export interface Fix {
  /** A shell command. */
  readonly command?: string | undefined;
  /** Launch options to use instead of the given ones: `-m`, `512M`. */
  readonly options?: readonly string[] | undefined;
}

/** An error that the user can act on. main prints it as `nitro: WHAT: WHY` and `hint: HINT`. */
export class UserError extends Error {
  override readonly name: string = "UserError";

  /** @param why empty if `what` is the whole message. @param remedy the fix that the hint describes. */
  constructor(
    readonly what: string,
    readonly why: string,
    readonly hint?: string,
    readonly remedy?: Fix,
  ) {
    super(why === "" ? what : `${what}: ${why}`);
  }
}

function nameIn<Name extends string>(table: Readonly<Record<Name, number>>, errno: number): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === errno);
}

/** Returns the name of an errno in the kernel's headers (`ENOENT`, `NE_ERR_NO_CPUS_AVAIL_IN_POOL`), or `errno N`. */
export function errnoName(errno: number): string {
  return nameIn(ERRNO, errno) ?? nameIn(NE_ERRORS, errno) ?? `errno ${errno}`;
}

/** Returns description and name of an errno, `No such file or directory (ENOENT)`, or the name alone. */
export function errnoText(errno: number): string {
  const name = nameIn(ERRNO, errno);
  if (name !== undefined) return `${ERRNO_TEXTS[name]} (${name})`;
  const own = errnoName(errno);
  return own.startsWith("errno ") ? own : `${own} (${errno})`;
}

/** A failed system call: its name, its errno and its subject. */
export class SyscallError extends UserError {
  override readonly name = "SyscallError";

  /** @param call the name of the call or ioctl. @param subject what it was applied to, as the user typed it. */
  constructor(
    readonly call: string,
    readonly errno: number,
    readonly subject: string,
    hint?: string,
  ) {
    super(subject === "" ? call : `${call} ${subject}`, errnoText(errno), hint);
  }
}
