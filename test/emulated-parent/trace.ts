/** The trace: what happened, in order, with the time since the command's execve. */

/** One line of the trace. */
export interface TraceEntry {
  /** Milliseconds since the execve of the command. */
  t: number;
  /** The subject: a call's name, or an event such as `heartbeat answered`. */
  what: string;
  [detail: string]: unknown;
}

/** Collects the lines. */
export class Trace {
  /** All lines so far. */
  readonly entries: TraceEntry[] = [];
  private origin = performance.now();

  /** @param verbose print every line on stderr as well. */
  constructor(private readonly verbose: boolean) {}

  /** Sets the time to zero. */
  start(): void {
    this.origin = performance.now();
  }

  /** Milliseconds since the start, with three decimals. */
  now(): number {
    return Math.round((performance.now() - this.origin) * 1000) / 1000;
  }

  /** Adds a line. A `t` in the details replaces the present time. */
  add(what: string, detail: Record<string, unknown> = {}): void {
    const entry = { t: this.now(), what, ...detail };
    this.entries.push(entry);
    if (this.verbose) console.error(`parent: ${JSON.stringify(entry)}`);
  }
}
