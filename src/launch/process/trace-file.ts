/** -d and -D: a trace to stderr or to a file. */
import { SyscallError, UserError } from "../../sys/errors.ts";
import { messageWriter } from "../../sys/files.ts";
import { OutputLoss } from "../../sys/output-loss.ts";
import type { ReopenableFile, ReopenableFiles } from "../../sys/reopenable-files.ts";
import type { System } from "../../sys/system.ts";
import { createTrace } from "../../sys/trace.ts";
import type { LaunchRequest } from "../context.ts";
import type { LaunchOptions } from "../options.ts";

/** The trace; `file` is that of -D. */
export interface TraceFile extends Disposable {
  readonly file: ReopenableFile | undefined;
}

/** Starts the trace that the options request; disposal ends it. Throws UserError. */
export function openTraceFile(
  system: System,
  options: LaunchOptions,
  { report, writeStderr }: Pick<LaunchRequest, "report" | "writeStderr">,
  logs: ReopenableFiles,
): TraceFile {
  using stack = new DisposableStack();
  let write = writeStderr;
  let file: ReopenableFile | undefined;
  if (options.traceFile !== undefined) {
    try {
      const path = options.traceFile.value;
      file = stack.use(logs.open(path, false, 0o600));
      const loss = new OutputLoss(() => `trace output to ${path}`, report);
      stack.defer(() => loss.ended());
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
  return { file, [Symbol.dispose]: () => owned.dispose() };
}
