/** Progress of a launch's long steps: between chunks they check for signals and draw a bar on a terminal. */
import { type ProgressBar, progressBar } from "../sys/progress-bar.ts";
import type { Cancellation } from "./cancellation.ts";

/** The longest wait for threads before signals and other launchers are checked again. */
const CHECK_INTERVAL_MS = 50;

/** What the long steps of a launch call. */
export interface Progress {
  /** Called after each chunk, with its size. Throws Cancelled. */
  readonly advance: (bytes?: number) => void;
  /** Waits up to 50 ms for `fd` to become readable. Returns whether it is. Throws Cancelled. */
  readonly waitReadable: (fd: number) => boolean;
  /** Starts a step of `bytes` bytes, for which a bar is drawn if it takes long. Disposing of it removes the bar. */
  start(title: string, bytes: number): Disposable;
  /** Removes the bar before a message is printed; the next chunk draws it again. */
  clear(): void;
}

/** Progress that does nothing, for work that neither a signal stops nor a bar shows. */
export const NO_PROGRESS: Progress = {
  advance() {},
  waitReadable: () => false,
  start: () => ({ [Symbol.dispose]() {} }),
  clear() {},
};

/** Creates a launch's progress. @param draw draws on the user's terminal; undefined for no bar. */
export function launchProgress(
  cancellation: Cancellation,
  draw: ((text: string) => void) | undefined,
): Progress {
  let bar: ProgressBar | undefined;
  return {
    advance(bytes = 0) {
      cancellation.check();
      bar?.step(bytes);
    },
    waitReadable: (fd) => cancellation.waitReadable(fd, CHECK_INTERVAL_MS),
    start(title, bytes) {
      const started = draw === undefined ? undefined : progressBar(draw, title);
      started?.expect(bytes);
      bar = started;
      return {
        [Symbol.dispose]() {
          started?.[Symbol.dispose]();
          bar = undefined;
        },
      };
    },
    clear: () => bar?.clear(),
  };
}
