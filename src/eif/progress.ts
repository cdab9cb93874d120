/** Progress of `nitro eif`: between chunks it checks for signals and draws a bar on a terminal. */
import { UserError } from "../sys/errors.ts";
import { progressBar } from "../sys/progress-bar.ts";
import { catchSignals, type StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";

/** What an operation on images needs from the command that runs it. */
export interface EifContext {
  readonly system: System;
  /** Prints one line to standard error. */
  readonly report: (line: string) => void;
  /** Draws on standard error; undefined if that is not a terminal. */
  readonly draw: ((text: string) => void) | undefined;
}

/** The progress of one operation. */
export interface EifProgress {
  /** Called after each chunk, with its size. Throws UserError once a signal has requested the end. */
  readonly advance: (bytes: number) => void;
  /** Adds to the number of bytes that the operation processes in total. */
  readonly expect: (bytes: number) => void;
  /**
   * From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT make `advance` throw, so that temporary files are removed. Before,
   * and in operations that write nothing, they end the process as usual.
   */
  readonly catchSignals: () => void;
}

/** A failure, so that the exit status is not 0 while the requested file is missing. */
function stoppedBy(signal: StopSignal): UserError {
  return new UserError(signal, "stopped before it was done; nothing was written");
}

/** Starts an operation; disposing of its progress removes the bar. @param title shown before the bar. */
export function startProgress({ system, draw }: EifContext, title: string): EifProgress & Disposable {
  using stack = new DisposableStack();
  let check = () => {};
  let caught = false;
  const bar = draw === undefined ? undefined : stack.use(progressBar(draw, title));
  const owned = stack.move();
  return {
    advance(bytes) {
      check();
      bar?.step(bytes);
    },
    expect: (bytes) => bar?.expect(bytes),
    catchSignals() {
      if (caught) return;
      caught = true;
      const signals = owned.use(catchSignals(system));
      check = () => {
        const signal = signals.next();
        if (signal !== undefined) throw stoppedBy(signal);
      };
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}
