/** -d and -D: a trace to stderr or to a file. */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { messageWriter } from "../../sys/files.ts";
import { logFlags, openOutput } from "../../sys/output-files.ts";
import { OutputLoss } from "../../sys/output-loss.ts";
import type { System } from "../../sys/system.ts";
import { createTrace } from "../../sys/trace.ts";
import type { LaunchRequest } from "../context.ts";
import type { LaunchOptions } from "../options.ts";

/** The trace; `fd` is the file of -D. */
export interface TraceFile extends Disposable {
  readonly fd: number | undefined;
}

/** Starts the trace that the options request; disposal ends it. Throws UserError. */
export function openTraceFile(
  system: System,
  options: LaunchOptions,
  { report, writeStderr }: Pick<LaunchRequest, "report" | "writeStderr">,
): TraceFile {
  using stack = new DisposableStack();
  let write = writeStderr;
  let fd: number | undefined;
  if (options.traceFile !== undefined) {
    try {
      const path = options.traceFile.value;
      const file = stack.use(openOutput(system, path, logFlags(false), 0o600));
      const loss = new OutputLoss(() => `trace output to ${path}`, report);
      stack.defer(() => loss.ended());
      fd = file.number;
      write = messageWriter(system, file.number, loss);
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
