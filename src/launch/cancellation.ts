/** Cancellation of a launch: SIGTERM and the other stop signals end it between two steps. */
import { POLLIN } from "../sys/linux/poll.ts";
import { nowMs, runLoop, type Waiter } from "../sys/poll.ts";
import type { Signals, StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";

/** Thrown between two steps after a signal requested the end of the launch. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";

  constructor(readonly signal: StopSignal) {
    super(`stopped by ${signal}`);
  }
}

/** How the steps of a launch check for a signal. */
export interface Cancellation {
  readonly signals: Signals;
  /** Throws Cancelled if a signal has arrived; otherwise calls `onCheck`. */
  readonly check: () => void;
  /** Serves other launchers while the launch is under way; undefined if there are none to serve. */
  onCheck: (() => void) | undefined;
  /** Waits for `ms` milliseconds. Throws Cancelled as soon as a signal arrives. */
  readonly pause: (ms: number) => void;
  /** Waits until `fd` is readable, at most `ms` milliseconds. Returns whether it is. Throws Cancelled. */
  readonly waitReadable: (fd: number, ms: number) => boolean;
}

/** A long operation checks for a signal after this many bytes. */
export const CHECK_INTERVAL_BYTES = 64 * 1024 * 1024;

/** Creates the cancellation that stop signals trigger. */
export function watchCancellation(system: System, signals: Signals): Cancellation {
  const check = () => {
    const signal = signals.next();
    if (signal !== undefined) throw new Cancelled(signal);
    cancellation.onCheck?.();
  };
  const waitReadable = (fd: number, ms: number) => {
    let result: boolean | undefined;
    const finish = (readable: boolean) => () => {
      result ??= readable;
    };
    const deadlineMs = nowMs() + ms;
    const waiters: Waiter[] = [
      { fd: signals.fd, events: POLLIN, deadlineMs, ready: finish(false), expired: finish(false) },
      { fd, events: POLLIN, deadlineMs, ready: finish(true), expired: finish(false) },
    ];
    runLoop(
      system,
      () => waiters,
      () => result !== undefined,
    );
    check();
    return result === true;
  };
  // poll(2) ignores a descriptor of -1, so only the deadline or a signal ends the wait.
  const pause = (ms: number) => void waitReadable(-1, ms);
  const cancellation: Cancellation = { signals, check, onCheck: undefined, waitReadable, pause };
  return cancellation;
}
