/** What is known at the end: counts, times and what was left over. */

/** Donated memory that was written to later. */
export interface LateWrite {
  slot: number;
  /** Where the piece begins in the enclave's memory. */
  offset: number;
  bytes: number;
  /** When it was noticed: at the start or at the end of the enclave. */
  noticed: "start" | "end";
}

/** How one heartbeat went. */
export interface HeartbeatOutcome {
  cid: number;
  byte: number;
  outcome: "answered" | "refused" | "wrong answer" | "no answer";
}

/** A process's memory. */
export interface MemoryPeak {
  pid: number;
  /** The highest sum of anonymous and file pages at the moments looked at, in KiB; shared memory is not in it. */
  peakKiB: number;
  /** When that was: the call that arrived. */
  at: string;
  /** The kernel's own high-water mark, in KiB; it counts the stand-in's pages, but no real huge pages. */
  highKiB: number;
}

/** What one enclave's console has carried. */
export interface ConsoleCount {
  cid: number;
  produced: number;
  delivered: number;
}

/** The report of a run. */
export interface Report {
  /** The command's exit status; undefined where a signal ended it. */
  status?: number;
  /** The signal that ended it. */
  signal?: string;
  /** Whether the time limit ended it. */
  overLimit: boolean;
  /** From the execve to the command's end. */
  wallMs: number;
  /** Milliseconds from the execve to the first 64 arrivals of each emulated call. */
  arrivals: Record<string, number[]>;
  /** How many calls were looked at, by name. */
  calls: Record<string, number>;
  /** Time that the supervisor spent on answers, in all. */
  supervisorMs: number;
  /** Where huge pages came from. */
  memory: "real" | "stand-in";
  /** The stand-in's pages at the end; the machine's own where these were used. */
  hugePages: { total: number; free: number; leaked: number };
  /** Enclaves whose descriptor was still open at the end. */
  slotsLeft: number;
  /** Processes of the command that outlived it and were killed. */
  processesLeft: number;
  lateWrites: LateWrite[];
  heartbeats: HeartbeatOutcome[];
  consoles: ConsoleCount[];
  memoryPeaks: MemoryPeak[];
}

/** More arrivals of one call than this are of no interest; `calls` counts them all. */
const mostArrivals = 64;

/** The report while it is being written. */
export class Ledger {
  readonly arrivals: Record<string, number[]> = {};
  readonly calls: Record<string, number> = {};
  readonly lateWrites: LateWrite[] = [];
  readonly heartbeats: HeartbeatOutcome[] = [];
  /** The consoles themselves, which go on counting. */
  readonly consoles: ConsoleCount[] = [];
  readonly peaks = new Map<number, MemoryPeak>();
  supervisorMs = 0;

  /** Notes the arrival of a call; with a time, it is one of the emulated ones. */
  count(name: string, arrivedMs?: number): void {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    if (arrivedMs === undefined) return;
    const times = this.arrivals[name] ?? [];
    if (times.length < mostArrivals) times.push(arrivedMs);
    this.arrivals[name] = times;
  }

  /** Notes how large a process is at this moment. */
  sample(pid: number, at: string, use: { rssAnonKiB: number; rssFileKiB: number; highKiB: number }): void {
    const sum = use.rssAnonKiB + use.rssFileKiB;
    const known = this.peaks.get(pid);
    if (known === undefined) this.peaks.set(pid, { pid, peakKiB: sum, at, highKiB: use.highKiB });
    else {
      known.highKiB = Math.max(known.highKiB, use.highKiB);
      if (sum > known.peakKiB) Object.assign(known, { peakKiB: sum, at });
    }
  }
}
