/** Injected faults: calls that fail or are delayed, and signals around calls. */

import type { Problem, Scenario, ScheduledSignal } from "./scenario.ts";
import { errnoNumber, signalNumber } from "./sys/errno.ts";
import { sendSignal } from "./sys/processes.ts";
import type { Trace } from "./trace.ts";

/** The fault of one call. */
export interface Hit {
  errno?: number;
  delayMs: number;
}

interface Counted<T> {
  rule: T;
  seen: number;
}

/** Counts calls and decides which of them get a fault. */
export class Faults {
  private readonly faults: Counted<Problem>[];
  private readonly scheduled: Counted<ScheduledSignal>[];

  constructor(
    scenario: Scenario,
    private readonly trace: Trace,
  ) {
    this.faults = scenario.faults.map((rule) => ({ rule, seen: 0 }));
    this.scheduled = scenario.signals.map((rule) => ({ rule, seen: 0 }));
  }

  /** Returns the fault of this call. @param subject the path of an open. */
  hit(name: string, subject: string): Hit | undefined {
    if (this.faults.length === 0) return undefined;
    let hit: Hit | undefined;
    for (const counted of this.faults) {
      const { call, errno, nth, delayMs } = counted.rule;
      if (call !== name && call !== `${name}:${subject}`) continue;
      counted.seen += 1;
      if (nth !== undefined && nth !== counted.seen) continue;
      const number = errno === undefined ? undefined : errnoNumber(errno);
      hit = {
        delayMs: (hit?.delayMs ?? 0) + (delayMs ?? 0),
        ...(number === undefined ? {} : { errno: number }),
      };
    }
    return hit;
  }

  /** Sends the signals that are due when a call is entered or left. */
  sendDue(moment: "enter" | "exit", name: string, subject: string, pid: number): void {
    for (const counted of this.scheduled) {
      const { at, nth } = counted.rule;
      if (at !== `${moment} ${name}` && at !== `${moment} ${name}:${subject}`) continue;
      counted.seen += 1;
      if (counted.seen === (nth ?? 1)) this.send(counted.rule, pid);
    }
  }

  /** Returns the signals that are due some time after the first start: the time, and a function that sends it. */
  timed(pid: number): { afterMs: number; send: () => void }[] {
    return this.scheduled.flatMap(({ rule }) =>
      rule.afterMs === undefined ? [] : [{ afterMs: rule.afterMs, send: () => this.send(rule, pid) }],
    );
  }

  private send(rule: ScheduledSignal, pid: number): void {
    this.trace.add("signal sent", { signal: rule.signal, pid });
    sendSignal(pid, signalNumber(rule.signal) ?? 0);
  }
}
