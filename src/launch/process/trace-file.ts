/** -d and -D: a trace to stderr or to a file. */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { messageWriter } from "../../sys/files.ts";
import { O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } from "../../sys/linux/fcntl.ts";
import { openOutput } from "../../sys/output-files.ts";
import type { System } from "../../sys/system.ts";
import { createTrace } from "../../sys/trace.ts";
import type { LaunchOptions } from "../options.ts";

/** The trace; `fd` is the file of -D. */
export interface TraceFile extends Disposable {
  readonly fd: number | undefined;
}

/** Starts the trace that the options request; disposal ends it. Throws UserError. */
export function openTraceFile(
  system: System,
  options: LaunchOptions,
  toStderr: (text: string) => void,
): TraceFile {
  using stack = new DisposableStack();
  let write = toStderr;
  let fd: number | undefined;
  if (options.traceFile !== undefined) {
    try {
      const file = stack.use(
        openOutput(system, options.traceFile.value, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o600),
      );
      fd = file.number;
      write = messageWriter(system, file.number);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new UserError(options.traceFile.typed, error.why);
    }
  }
  stack.defer(() => {
    system.trace = {};
  });
  system.trace = createTrace(options.trace, (line) => write(`${line}\n`));
  const owned = stack.move();
  return { fd, [Symbol.dispose]: () => owned.dispose() };
}
