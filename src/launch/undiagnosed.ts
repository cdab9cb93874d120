/** An error that is put into words once all has unwound: what is known of the parent is loaded for that alone. */
import { SyscallError, type UserError } from "../sys/errors.ts";

/** Where the words are. */
type Diagnose = typeof import("./diagnose.ts");

/** Thrown in place of a call's error; whoever catches it asks for the words. */
export class Undiagnosed extends Error {
  override readonly name = "Undiagnosed";

  constructor(
    private readonly error: SyscallError,
    private readonly words: (explain: Diagnose, error: SyscallError) => UserError,
  ) {
    super(error.message);
  }

  /** Why it failed, in the words of explain.ts. */
  async failure(): Promise<UserError> {
    return this.words(await import("./diagnose.ts"), this.error);
  }
}

/** Attempts it. Throws Undiagnosed for a call that failed. @param words called once the launch has unwound. */
export function diagnosed<T>(attempt: () => T, words: ConstructorParameters<typeof Undiagnosed>[1]): T {
  try {
    return attempt();
  } catch (error) {
    throw error instanceof SyscallError ? new Undiagnosed(error, words) : error;
  }
}
