/** What goes wrong on purpose: calls that fail or take long, and signals around them. */

import type { Problem, Scenario, SignalShot } from "./scenario.ts";
import { errnoNumber, signalNumber } from "./sys/errno.ts";
import { sendSignal } from "./sys/processes.ts";
import type { Trace } from "./trace.ts";

/** What hits one call. */
export interface Hit {
  errno?: number;
  delayMs: number;
}

interface Counted<T> {
  rule: T;
  seen: number;
}

/** Counts calls and tells which of them are hit. */
export class Faults {
  private readonly faults: Counted<Problem>[];
  private readonly shots: Counted<SignalShot>[];

  constructor(
    scenario: Scenario,
    private readonly trace: Trace,
  ) {
    this.faults = scenario.faults.map((rule) => ({ rule, seen: 0 }));
    this.shots = scenario.signals.map((rule) => ({ rule, seen: 0 }));
  }

  /** What hits this call; `subject` is the path of an open. */
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
  shoot(moment: "enter" | "exit", name: string, subject: string, pid: number): void {
    for (const counted of this.shots) {
      const { at, nth } = counted.rule;
      if (at !== `${moment} ${name}` && at !== `${moment} ${name}:${subject}`) continue;
      counted.seen += 1;
      if (counted.seen === (nth ?? 1)) this.send(counted.rule, pid);
    }
  }

  /** The signals that are due some time after the first start: the time, and what sends them. */
  timed(pid: number): { afterMs: number; send: () => void }[] {
    return this.shots.flatMap(({ rule }) =>
      rule.afterMs === undefined ? [] : [{ afterMs: rule.afterMs, send: () => this.send(rule, pid) }],
    );
  }

  private send(rule: SignalShot, pid: number): void {
    this.trace.add("signal sent", { signal: rule.signal, pid });
    sendSignal(pid, signalNumber(rule.signal) ?? 0);
  }
}
