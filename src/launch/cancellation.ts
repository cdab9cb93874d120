/** Requests to stop, between the steps of a launch: every step can be the last. */
import { POLLIN } from "../sys/linux/poll.ts";
import { nowMs, runLoop, type Waiter } from "../sys/poll.ts";
import type { Signals, StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";

/** Thrown between two steps when a signal has asked for the end. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";

  constructor(readonly signal: StopSignal) {
    super(`stopped by ${signal}`);
  }
}

/** How the steps of a launch look for a signal. */
export interface Cancellation {
  readonly signals: Signals;
  /** Throws Cancelled when a signal has come, and does what is to be done meanwhile. */
  readonly check: () => void;
  /** What others wait for while a launch is under way; undefined for nothing. */
  meanwhile: (() => void) | undefined;
  /** Waits so many milliseconds, less when a signal comes: then it throws Cancelled. */
  readonly pause: (ms: number) => void;
  /** Waits until a descriptor is readable, for so many milliseconds at most; tells whether it is. Throws Cancelled. */
  readonly readable: (fd: number, ms: number) => boolean;
}

/** Looks for signals by reading their descriptor. */
export function watchCancellation(system: System, signals: Signals): Cancellation {
  const check = () => {
    const signal = signals.next();
    if (signal !== undefined) throw new Cancelled(signal);
    requests.meanwhile?.();
  };
  const readable = (fd: number, ms: number) => {
    let found: boolean | undefined;
    const end = (result: boolean) => () => {
      found ??= result;
    };
    const deadlineMs = nowMs() + ms;
    const waiters: Waiter[] = [
      { fd: signals.fd, events: POLLIN, deadlineMs, ready: end(false), expired: end(false) },
      { fd, events: POLLIN, deadlineMs, ready: end(true), expired: end(false) },
    ];
    runLoop(
      system,
      () => waiters,
      () => found !== undefined,
    );
    check();
    return found === true;
  };
  // A descriptor of -1 is never readable: that is a pause.
  const pause = (ms: number) => void readable(-1, ms);
  const requests: Cancellation = { signals, check, meanwhile: undefined, readable, pause };
  return requests;
}
