/** What every step of a launch needs, created once and passed to each. */
import type { ReopenableFiles } from "../sys/reopenable-files.ts";
import type { Signals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { type Cancellation, watchCancellation } from "./cancellation.ts";
import type { LaunchOptions } from "./options.ts";
import { launchProgress, type Progress } from "./progress.ts";

/** A launch as main requests it. */
export interface LaunchRequest {
  readonly options: LaunchOptions;
  /** The arguments after the program's name: -daemonize executes the program again with them. */
  readonly args: readonly string[];
  /** The argument that makes this process the daemon; undefined for every other process. */
  readonly daemonArgument: string | undefined;
  /** Prints one line to standard error. */
  readonly report: (line: string) => void;
  readonly writeStderr: (text: string) => void;
  /** Draws on the user's terminal; does nothing if standard error is not a terminal. */
  readonly draw: (text: string) => void;
}

/** The context of one launch. */
export interface LaunchContext {
  readonly system: System;
  readonly options: LaunchOptions;
  /** Prints one line to standard error. */
  readonly report: (line: string) => void;
  readonly progress: Progress;
  readonly cancellation: Cancellation;
  /** The files that the launch writes until its end. */
  readonly logs: ReopenableFiles;
}

/** What exists before the context of a launch does. */
interface Prepared {
  readonly signals: Signals;
  readonly logs: ReopenableFiles;
}

/** Creates the context of a launch. */
export function createContext(
  system: System,
  request: LaunchRequest,
  { signals, logs }: Prepared,
): LaunchContext {
  const { options } = request;
  const cancellation = watchCancellation(system, signals);
  // A progress bar would overwrite a trace on the same terminal.
  const tracesToStderr = options.trace.size > 0 && options.traceFile === undefined;
  const progress = launchProgress(cancellation, tracesToStderr ? undefined : request.draw);
  const report = (line: string) => {
    progress.clear();
    request.report(line);
  };
  return { system, options, report, progress, cancellation, logs };
}
