/** What goes on beside the long steps of a launch: signals are looked for, and a bar is drawn on a terminal. */
import { type ProgressBar, progressBar } from "../sys/progress-bar.ts";
import type { Cancellation } from "./cancellation.ts";

/** So long is waited for others before the next look at signals and at whoever waits for this launcher. */
const GLANCE_MS = 50;

/** What the long steps of a launch call. */
export interface Progress {
  /** Called between pieces, with the bytes of the last. Throws Cancelled. */
  readonly between: (bytes?: number) => void;
  /** Waits a little for a descriptor to be readable; tells whether it is. Throws Cancelled. */
  readonly readable: (fd: number) => boolean;
  /** Begins work of so many bytes: where it takes long, a bar tells of it. Its end takes the bar away. */
  begin(title: string, bytes: number): Disposable;
  /** Takes the bar away, for a line to be told; it comes back by itself. */
  clear(): void;
}

/** Of work that nobody interrupts and that no bar tells of. */
export const NO_PROGRESS: Progress = {
  between() {},
  readable: () => false,
  begin: () => ({ [Symbol.dispose]() {} }),
  clear() {},
};

/** Makes it. @param draw draws on the user's terminal; undefined where that is not wanted. */
export function launchProgress(stop: Cancellation, draw: ((text: string) => void) | undefined): Progress {
  let bar: ProgressBar | undefined;
  return {
    between(bytes = 0) {
      stop.check();
      bar?.step(bytes);
    },
    readable: (fd) => stop.readable(fd, GLANCE_MS),
    begin(title, bytes) {
      const begun = draw === undefined ? undefined : progressBar(draw, title);
      begun?.expect(bytes);
      bar = begun;
      return {
        [Symbol.dispose]() {
          begun?.[Symbol.dispose]();
          bar = undefined;
        },
      };
    },
    clear: () => bar?.clear(),
  };
}
