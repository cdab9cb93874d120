/**
 * The process of the launch: daemon, pid file, trace file, another user, sandbox. Few launches use any of it, so what
 * sets it up is loaded for those only.
 */
import type { ReopenableFiles } from "../../sys/reopenable-files.ts";
import type { System } from "../../sys/system.ts";
import type { LaunchRequest } from "../context.ts";
import type { LaunchOptions } from "../options.ts";
import type { LauncherProcess } from "./set-up.ts";

const ORDINARY_PROCESS: LauncherProcess = {
  createPidFile: () => undefined,
  finalize() {},
  [Symbol.dispose]() {},
};

/** Whether this process only starts the daemon, which then launches the enclave. */
export function startsDaemon({ options, daemonArgument }: LaunchRequest): boolean {
  return options.process?.daemonize === true && daemonArgument === undefined;
}

/** Starts the daemon and waits until its enclave has started. Returns the exit status. Throws UserError. */
export async function startDaemon(system: System, request: LaunchRequest): Promise<number> {
  const { launchInBackground } = await import("./daemon.ts");
  return launchInBackground(system, request);
}

/** Prepares the process. What can fail does so here, before any request to the host. Throws UserError. */
export async function prepareLauncher(
  system: System,
  request: LaunchRequest,
  logs: ReopenableFiles,
): Promise<LauncherProcess> {
  const { options, daemonArgument } = request;
  if (options.process === undefined && daemonArgument === undefined && !writesFiles(options)) {
    return ORDINARY_PROCESS;
  }
  const { setUpProcess } = await import("./set-up.ts");
  return await setUpProcess(system, request, logs);
}

/** Whether the launch writes files, which must not be its input files, or a trace. */
function writesFiles({ chardevs, pidFile, traceFile, trace }: LaunchOptions): boolean {
  return (
    pidFile !== undefined ||
    traceFile !== undefined ||
    trace.size > 0 ||
    chardevs.some(({ backend, log }) => backend.kind === "file" || log !== undefined)
  );
}
