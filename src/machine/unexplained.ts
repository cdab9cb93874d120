/** An error that is put into words once all has unwound: what is known of the parent is loaded for that alone. */
import { type Failure, SyscallError } from "../sys/failure.ts";

/** Where the words are. */
type Explain = typeof import("./explain.ts");

/** Thrown in place of a call's error; whoever catches it asks for the words. */
export class Unexplained extends Error {
  override readonly name = "Unexplained";

  constructor(
    private readonly error: SyscallError,
    private readonly words: (explain: Explain, error: SyscallError) => Failure,
  ) {
    super(error.message);
  }

  /** Why it failed, in the words of explain.ts. */
  async failure(): Promise<Failure> {
    return this.words(await import("./explain.ts"), this.error);
  }
}

/** Attempts it. Throws Unexplained for a call that failed. @param words called once the launch has unwound. */
export function explained<T>(attempt: () => T, words: ConstructorParameters<typeof Unexplained>[1]): T {
  try {
    return attempt();
  } catch (error) {
    throw error instanceof SyscallError ? new Unexplained(error, words) : error;
  }
}
