/** The report of a run: counts, times and what was left over. */

/** Donated memory that was written to later. */
export interface LateWrite {
  slot: number;
  /** Offset of the changed piece in the enclave's memory. */
  offset: number;
  bytes: number;
  /** When the supervisor noticed the write: at the start or at the end of the enclave. */
  noticed: "start" | "end";
}

/** The result of one heartbeat. */
export interface HeartbeatOutcome {
  cid: number;
  byte: number;
  outcome: "answered" | "refused" | "wrong answer" | "no answer";
}

/** A process's memory. */
export interface MemoryPeak {
  pid: number;
  /** The highest sum of anonymous and file pages at the sampled moments, in KiB; without shared memory. */
  peakKiB: number;
  /** The call at which that sample was taken. */
  at: string;
  /** The kernel's own high-water mark, in KiB; includes the stand-in's pages, but no real huge pages. */
  highKiB: number;
}

/** What one enclave's console has transferred. */
export interface ConsoleCount {
  cid: number;
  produced: number;
  delivered: number;
}

/** The report of a run. */
export interface Report {
  /** The command's exit status; undefined if a signal terminated it. */
  status?: number;
  /** The signal that terminated the command. */
  signal?: string;
  /** Whether the command exceeded the time limit. */
  overLimit: boolean;
  /** From the execve to the command's end. */
  wallMs: number;
  /** Milliseconds from the execve to the first 64 arrivals of each emulated call. */
  arrivals: Record<string, number[]>;
  /** How many calls were trapped, by name. */
  calls: Record<string, number>;
  /** Total time that the supervisor spent on answers. */
  supervisorMs: number;
  /** Where huge pages come from. */
  memory: "real" | "stand-in";
  /** The stand-in's pages at the end; the machine's own if these were used. */
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

/** At most this many arrivals of one call are recorded; `calls` counts all of them. */
const mostArrivals = 64;

/** The report while it is being written. */
export class Ledger {
  readonly arrivals: Record<string, number[]> = {};
  readonly calls: Record<string, number> = {};
  readonly lateWrites: LateWrite[] = [];
  readonly heartbeats: HeartbeatOutcome[] = [];
  /** The consoles themselves, which continue to count. */
  readonly consoles: ConsoleCount[] = [];
  readonly peaks = new Map<number, MemoryPeak>();
  supervisorMs = 0;

  /** Counts a call; with a time, it is one of the emulated calls, and the time is recorded. */
  count(name: string, arrivedMs?: number): void {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    if (arrivedMs === undefined) return;
    const times = this.arrivals[name] ?? [];
    if (times.length < mostArrivals) times.push(arrivedMs);
    this.arrivals[name] = times;
  }

  /** Records the size of a process at this moment. */
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
