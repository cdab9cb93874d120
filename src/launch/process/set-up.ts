/** Sets up the process by its options: daemon, output files, trace, privileges. */
import { UserError } from "../../sys/errors.ts";
import type { ReopenableFile, ReopenableFiles } from "../../sys/reopenable-files.ts";
import type { System } from "../../sys/system.ts";
import type { LaunchRequest } from "../context.ts";
import { becomeDaemon } from "./daemon.ts";
import { prepareProcess } from "./drop-privileges.ts";
import { checkOutputs } from "./output-conflicts.ts";
import { writePidFile } from "./pid-file.ts";
import { openTraceFile } from "./trace-file.ts";

/** The launcher's process, as the options require it. */
export interface LauncherProcess extends Disposable {
  /** Creates and locks the pid file; disposing of the result removes it. Throws UserError. */
  createPidFile(): Disposable | undefined;
  /**
   * Drops privileges, enters the sandbox, detaches the daemon: called once everything is prepared. Throws UserError.
   */
  finalize(): void;
}

/** Becomes the daemon, opens the trace, looks up user and root directory. Throws UserError that names the option. */
export async function setUpProcess(
  system: System,
  request: LaunchRequest,
  logs: ReopenableFiles,
): Promise<LauncherProcess> {
  const { options, daemonArgument } = request;
  using stack = new DisposableStack();
  if (daemonArgument !== undefined && options.process?.daemonize !== true) {
    throw new UserError(daemonArgument, "invalid option");
  }
  let traceFile: ReopenableFile | undefined;
  const daemon =
    daemonArgument === undefined ? undefined : becomeDaemon(system, daemonArgument, () => traceFile);
  checkOutputs(system, options);
  traceFile = stack.use(openTraceFile(system, options, request, logs)).file;
  const { process, pidFile } = options;
  const prepared =
    process === undefined ? undefined : stack.use(await prepareProcess(system, process, daemon));
  // After a change of the root directory the file is unreachable; after a change of the working directory it is
  // reachable by descriptor.
  const removal =
    process === undefined ? "by path" : process.chroot === undefined ? "in its directory" : "truncate only";
  const owned = stack.move();
  return {
    createPidFile: () => (pidFile === undefined ? undefined : writePidFile(system, pidFile, removal)),
    finalize: () => prepared?.apply(),
    [Symbol.dispose]: () => owned.dispose(),
  };
}
