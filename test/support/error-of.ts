/** What a UserError says, as plain values that a test can compare. */
import { UserError } from "../../src/sys/errors.ts";

export interface Told {
  readonly what: string;
  readonly why: string;
  readonly hint: string | undefined;
}

/** Runs what must end in a UserError and gives its three parts. */
export function userErrorOf(run: () => unknown): Told {
  try {
    run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { what: error.what, why: error.why, hint: error.hint };
  }
  throw new Error("expected a UserError, and nothing failed");
}
