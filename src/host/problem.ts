/** What is wrong with the parent instance and how to fix it, as `nitro check` and a failing launch both report it. */
import { type Fix, UserError } from "../sys/errors.ts";
import { shellQuote } from "../sys/shell-quote.ts";

/** Something that keeps an enclave from starting. */
export interface Problem extends Fix {
  readonly why: string;
  /** Alternatives to the fix, or what to keep in mind when applying it. */
  readonly advice?: string | undefined;
}

/** Returns a problem as the error of a launch. @param error the kernel's message, printed before the reason. */
export function problemError(what: string, problem: Problem, error?: string): UserError {
  const { why, command, options, advice } = problem;
  const useOptions = options === undefined ? undefined : `use ${options.join(" ")}`;
  const hint = [command, useOptions, advice].filter((text) => text !== undefined).join("; ");
  return new UserError(what, error === undefined ? why : `${error}: ${why}`, hint === "" ? undefined : hint, {
    command,
    options,
  });
}

/** Returns a command that needs root as this user has to type it: with sudo, unless the user is root already. */
export function asRoot(command: string): string {
  if (process.geteuid?.() === 0) return command;
  return /[>|&;]/.test(command) ? `sudo sh -c ${shellQuote(command)}` : `sudo ${command}`;
}
