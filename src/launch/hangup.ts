/**
 * SIGHUP. With a terminal it is sent when that is closed, and ends the launch like SIGTERM. Without one it comes from
 * log rotation: the log files are opened again, and the launch goes on.
 */
import { hasTerminal } from "../sys/terminal.ts";
import type { LaunchContext } from "./context.ts";

/** Decides what SIGHUP means for this process, before its terminal can be closed. */
export function watchHangup({ system, options, logs, report, cancellation }: LaunchContext): void {
  // A daemon leaves its terminal.
  if (options.process?.daemonize !== true && hasTerminal(system)) return;
  cancellation.signals.onHangup(() => {
    const { paths, failures } = logs.reopen();
    if (paths.length > 0) report(`SIGHUP: reopened ${paths.join(", ")}`);
    for (const { path, why } of failures) {
      report(`SIGHUP: cannot reopen ${path}: ${why}; output continues in the file that is open`);
    }
    if (paths.length + failures.length === 0) report("SIGHUP: no log file to reopen; SIGTERM stops nitro");
  });
}
