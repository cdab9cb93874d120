/** The supervisor's only wait: one poll(2) over descriptors and timers. */

import { NR } from "./sys/kernel.ts";
import { addressOf, call } from "./sys/libc.ts";

/** A watched descriptor; `events` may be changed at any time. */
export interface Watch {
  fd: number;
  events: number;
  handler: (ready: number) => void;
  /**
   * Lower ranks are served first: resources of a launcher that has ended must be released before the next call is
   * answered.
   */
  rank: number;
  closed: boolean;
}

interface Moment {
  at: number;
  action: () => void;
  cancelled: boolean;
}

/** The longest sleep of the loop before it checks for signals to the supervisor. */
const signalCheckMs = 100;

/** Runs handlers of descriptors and timers, one at a time. */
export class Loop {
  private watches: Watch[] = [];
  private moments: Moment[] = [];
  private records = new Int32Array(new ArrayBuffer(8 * 256)); // struct pollfd (asm-generic/poll.h): s32, s16, s16
  private done = false;

  /** Calls the handler whenever the descriptor is ready for one of the events. */
  watch(fd: number, events: number, handler: (ready: number) => void, rank = 0): Watch {
    const watch = { fd, events, handler, rank, closed: false };
    this.watches = [...this.watches, watch].sort((a, b) => a.rank - b.rank);
    return watch;
  }

  /** Stops watching a descriptor; the caller closes it. */
  unwatch(watch: Watch): void {
    watch.closed = true;
    this.watches = this.watches.filter((other) => other !== watch);
  }

  /** Calls the action once, after the given time. Returns a function that cancels it. */
  after(delayMs: number, action: () => void): () => void {
    const moment = { at: performance.now() + delayMs, action, cancelled: false };
    this.moments.push(moment);
    return () => {
      moment.cancelled = true;
      this.moments = this.moments.filter((other) => other !== moment);
    };
  }

  /** Makes `run` return. */
  stop(): void {
    this.done = true;
  }

  /** Serves until `stop`. `attention` is awaited regularly, so that signals to the supervisor reach their handlers. */
  async run(checkSignals: () => Promise<void>): Promise<void> {
    let attended = performance.now();
    while (!this.done) {
      const interrupted = this.turn(signalCheckMs);
      const now = performance.now();
      if (interrupted || now - attended >= signalCheckMs) {
        attended = now;
        await checkSignals();
      }
    }
  }

  /** Waits once and runs the handlers. Returns whether a signal interrupted the wait. */
  private turn(longestMs: number): boolean {
    const watches = this.watches;
    if (this.records.length < 2 * watches.length)
      this.records = new Int32Array(new ArrayBuffer(16 * watches.length));
    const records = this.records;
    for (let index = 0; index < watches.length; index++) {
      const watch = watches[index];
      if (watch === undefined) continue;
      records[2 * index] = watch.fd;
      records[2 * index + 1] = watch.events;
    }
    const ready = call(NR.poll, addressOf(records), watches.length, this.patience(longestMs));
    this.runMoments();
    if (ready < 0) return true;
    for (let index = 0; index < watches.length && ready > 0; index++) {
      const watch = watches[index];
      const events = (records[2 * index + 1] ?? 0) >>> 16;
      if (watch !== undefined && events !== 0 && !watch.closed) watch.handler(events);
    }
    return false;
  }

  private patience(longestMs: number): number {
    let patience = longestMs;
    const now = performance.now();
    for (const moment of this.moments) patience = Math.min(patience, Math.ceil(moment.at - now));
    return Math.max(0, patience);
  }

  private runMoments(): void {
    if (this.moments.length === 0) return;
    const now = performance.now();
    const due = this.moments.filter((moment) => moment.at <= now).sort((a, b) => a.at - b.at);
    if (due.length === 0) return;
    this.moments = this.moments.filter((moment) => !due.includes(moment));
    for (const moment of due) if (!moment.cancelled) moment.action();
  }
}
