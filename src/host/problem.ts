/** What is wrong with the parent instance and what mends it: the words of `nitro check` and of a launch that fails. */
import { type Fix, UserError } from "../sys/errors.ts";

/** Something that keeps an enclave from starting. */
export interface Problem extends Fix {
  readonly why: string;
  /** What else can be said: what else would do, or what to mind. */
  readonly advice?: string | undefined;
}

/** A fault as a launch tells it. @param error what the kernel said of it: it stands before the reason. */
export function problemError(what: string, problem: Problem, error?: string): UserError {
  const { why, command, options, advice } = problem;
  const words = options === undefined ? undefined : `use ${options.join(" ")}`;
  const hint = [command, words, advice].filter((part) => part !== undefined).join("; ");
  return new UserError(what, error === undefined ? why : `${error}: ${why}`, hint === "" ? undefined : hint, {
    command,
    options,
  });
}

/** A shell's word for any text. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A command as this user has to type it: what only root may do is begun by sudo. */
export function asRoot(command: string): string {
  if (process.geteuid?.() === 0) return command;
  return /[>|&;]/.test(command) ? `sudo sh -c ${shellQuote(command)}` : `sudo ${command}`;
}
