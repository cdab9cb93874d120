/** What a user is told: what failed, why, and what to type. */
import { errnoTexts } from "./errno-text.ts";
import { ERRNO } from "./linux/errno.ts";
import { NE_ERRORS } from "./linux/nitro_enclaves.ts";

/** What mends a failure, where that can be said so that a shell or a command line takes it as it is. */
export interface Fix {
  /** A line for a shell. */
  readonly command?: string | undefined;
  /** Options for the launch in place of those that it had: `-m`, `512M`. */
  readonly options?: readonly string[] | undefined;
}

/** A failure that a user can meet, in three parts; main prints it as `nitro: WHAT: WHY` and `hint: HINT`. */
export class UserError extends Error {
  override readonly name: string = "UserError";

  /** @param remedy what the hint says in words, for `nitro check`. */
  constructor(
    readonly what: string,
    readonly why: string,
    readonly hint?: string,
    readonly remedy?: Fix,
  ) {
    super(`${what}: ${why}`);
  }
}

function nameOf(errno: number): keyof typeof ERRNO | undefined {
  const names = Object.keys(ERRNO) as (keyof typeof ERRNO)[];
  return names.find((name) => ERRNO[name] === errno);
}

/** The errno's name as the kernel's headers give it (`ENOENT`, `NE_ERR_NO_CPUS_AVAIL_IN_POOL`), or `errno N`. */
export function errnoName(errno: number): string {
  const driver: Readonly<Record<number, string>> = NE_ERRORS;
  return nameOf(errno) ?? driver[errno] ?? `errno ${errno}`;
}

/** The errno in words, `No such file or directory (ENOENT)`; one without words has its name alone. */
export function errnoText(errno: number): string {
  const name = nameOf(errno);
  if (name !== undefined) return `${errnoTexts()[name]} (${name})`;
  const own = errnoName(errno);
  return own.startsWith("errno ") ? own : `${own} (${errno})`;
}

/** A system call that failed: which, with what errno, on what. */
export class SyscallError extends UserError {
  override readonly name = "SyscallError";

  /** @param call the call's or the ioctl's name, @param subject what it was done to, in the user's words. */
  constructor(
    readonly call: string,
    readonly errno: number,
    readonly subject: string,
    hint?: string,
  ) {
    super(subject === "" ? call : `${call} ${subject}`, errnoText(errno), hint);
  }
}
