/** The parts of a UserError as plain values that a test can compare. */
import { UserError } from "../../src/sys/errors.ts";

export interface ErrorParts {
  readonly what: string;
  readonly why: string;
  readonly hint: string | undefined;
}

/** Runs a function that must throw a UserError, and returns the parts of the error. */
export function userErrorOf(run: () => unknown): ErrorParts {
  try {
    run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { what: error.what, why: error.why, hint: error.hint };
  }
  throw new Error("expected a UserError, and nothing failed");
}
