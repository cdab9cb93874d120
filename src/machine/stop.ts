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
  /** Throws Stopped when a signal has come. */
  readonly check: () => void;
  /** Waits so many milliseconds, less when a signal comes: then it throws Stopped. */
  readonly pause: (ms: number) => void;
}

/** Looks for signals by reading their descriptor. */
export function stopRequests(system: System, signals: Signals): StopRequests {
  const check = () => {
    const signal = signals.next();
    if (signal !== undefined) throw new Stopped(signal);
  };
  return {
    signals,
    check,
    pause(ms) {
      let over = false;
      const end = () => {
        over = true;
      };
      const waiter: Waiter = {
        fd: signals.fd,
        events: POLLIN,
        deadlineMs: nowMs() + ms,
        ready: end,
        expired: end,
      };
      runLoop(
        system,
        () => [waiter],
        () => over,
      );
      check();
    },
  };
}
