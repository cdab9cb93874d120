/**
 * An error whose diagnosis is put off until the launch has unwound. A launch that succeeds does not load diagnose.ts
 * and what it knows of the parent instance.
 */
import { SyscallError, UserError } from "../sys/errors.ts";
import { Cancelled } from "./cancellation.ts";
import type { LaunchContext } from "./context.ts";
import { EXIT } from "./exit-status.ts";

type Diagnosis = typeof import("./diagnose.ts");
type Diagnose = (diagnosis: Diagnosis, error: SyscallError) => UserError;

/** Thrown in place of a failed call's SyscallError. */
export class Undiagnosed extends Error {
  override readonly name = "Undiagnosed";

  constructor(
    private readonly error: SyscallError,
    private readonly diagnose: Diagnose,
  ) {
    super(error.message);
  }

  /** Returns why the call failed. */
  async userError(): Promise<UserError> {
    return this.diagnose(await import("./diagnose.ts"), this.error);
  }
}

/**
 * Returns what `attempt` returns. Throws Undiagnosed for a SyscallError. @param diagnose called after the unwinding.
 */
export function diagnosed<T>(attempt: () => T, diagnose: Diagnose): T {
  try {
    return attempt();
  } catch (error) {
    throw undiagnosed(error, diagnose);
  }
}

/** Returns an Undiagnosed for a SyscallError, and every other error as it is. */
export function undiagnosed(error: unknown, diagnose: Diagnose): unknown {
  return error instanceof SyscallError ? new Undiagnosed(error, diagnose) : error;
}

/** Returns the exit status of a launch that was cancelled. Throws every other error, diagnosed. */
export async function launchFailed(context: LaunchContext, error: unknown): Promise<number> {
  if (error instanceof Cancelled) {
    context.report(`${error.signal}: stopped before the enclave was started`);
    return EXIT.stopped;
  }
  const failure = error instanceof Undiagnosed ? await error.userError() : error;
  if (!(failure instanceof UserError)) throw failure;
  const { diagnoseOther } = await import("./diagnose.ts");
  throw diagnoseOther(context.system, failure, context.options);
}

/** Reports the problem of vsock, if there is one, that kept the heartbeat from arriving. */
export async function reportVsockProblem({ system, report }: LaunchContext): Promise<void> {
  const { diagnoseSilence } = await import("./diagnose.ts");
  diagnoseSilence(system, report);
}
