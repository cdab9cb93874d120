/** Long work over many bytes: the one buffer that they pass through, and what is done between two pieces. */
import { UserError } from "../sys/errors.ts";
import { progressBar } from "../sys/progress-bar.ts";
import { catchSignals, type StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";

/** What a command is given to do its work with. */
export interface Work {
  readonly buffer: Uint8Array;
  /** Called after each piece, with its size in bytes. Throws UserError when a signal asks for the end. */
  step(bytes: number): void;
  /** Says how many bytes there will be, all in all. */
  expect(bytes: number): void;
  /**
   * From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the work in order, and what was begun is taken back. Before,
   * and where nothing is to be taken back, they end the process as they always do.
   */
  takeBack(): void;
}

/** A command's surroundings. */
export interface Around {
  readonly system: System;
  /** Says a line on standard error. */
  readonly report: (line: string) => void;
  /** Draws on standard error; undefined where that is no terminal. */
  readonly draw: ((text: string) => void) | undefined;
}

/** As much as the processor's caches and the kernel like to move at once. */
const BUFFER_BYTES = 1024 * 1024;

/** The signal that ended the work is a failure: no status of 0 where a file was asked for and is not there. */
function stoppedBy(signal: StopSignal): UserError {
  return new UserError(signal, "stopped before it was done; nothing was written");
}

/** Begins work; its end takes the bar away. @param title what stands before the bar. */
export function beginWork({ system, draw }: Around, title: string): Work & Disposable {
  using stack = new DisposableStack();
  let stop = () => {};
  let taken = false;
  const bar = draw === undefined ? undefined : stack.use(progressBar(draw, title));
  const kept = stack.move();
  return {
    buffer: new Uint8Array(BUFFER_BYTES),
    step(bytes) {
      stop();
      bar?.step(bytes);
    },
    expect: (bytes) => bar?.expect(bytes),
    takeBack() {
      if (taken) return;
      taken = true;
      const signals = kept.use(catchSignals(system));
      stop = () => {
        const signal = signals.next();
        if (signal !== undefined) throw stoppedBy(signal);
      };
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}
