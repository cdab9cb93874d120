/** What a Failure says, as plain values that a test can compare. */
import { Failure } from "../src/sys/failure.ts";

export interface Told {
  readonly what: string;
  readonly why: string;
  readonly hint: string | undefined;
}

/** Runs what must end in a Failure and gives its three parts. */
export function failureOf(run: () => unknown): Told {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { what: error.what, why: error.why, hint: error.hint };
  }
  throw new Error("expected a Failure, and nothing failed");
}
