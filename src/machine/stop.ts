/** Requests to stop, between the steps of a launch: every step can be the last. */
import { POLLIN } from "../sys/linux/poll.ts";
import { nowMs, runLoop, type Waiter } from "../sys/poll.ts";
import type { Signals, StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";

/** Thrown between two steps when a signal has asked for the end. */
export class Stopped extends Error {
  override readonly name = "Stopped";

  constructor(readonly signal: StopSignal) {
    super(`stopped by ${signal}`);
  }
}

/** How the steps of a launch look for a signal. */
export interface StopRequests {
  readonly signals: Signals;
  /** Throws Stopped when a signal has come, and does what is to be done meanwhile. */
  readonly check: () => void;
  /** What others wait for while a launch is under way; undefined for nothing. */
  meanwhile: (() => void) | undefined;
  /** Waits so many milliseconds, less when a signal comes: then it throws Stopped. */
  readonly pause: (ms: number) => void;
  /** Waits until a descriptor is readable, for so many milliseconds at most; tells whether it is. Throws Stopped. */
  readonly readable: (fd: number, ms: number) => boolean;
}

/** Looks for signals by reading their descriptor. */
export function stopRequests(system: System, signals: Signals): StopRequests {
  const check = () => {
    const signal = signals.next();
    if (signal !== undefined) throw new Stopped(signal);
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
  const requests: StopRequests = { signals, check, meanwhile: undefined, readable, pause };
  return requests;
}
