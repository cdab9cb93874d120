/**
 * Heartbeats from CIDs that are not this launcher's enclave. They are reported, unless they belong to a launcher that
 * shares the port. An enclave may send its heartbeat before its launcher has recorded the CID, so while another launch
 * is starting an enclave the report waits.
 */
import type { HeartbeatPort } from "./port.ts";

/** A peer that connects again and again must not fill the system's journal. */
const MAX_LINES = 32;

/** Returns a function that reports each line once, and a limited number of lines. */
export function limitedReport(report: (line: string) => void): (line: string) => void {
  const reported = new Set<string>();
  return (line) => {
    if (reported.has(line) || reported.size > MAX_LINES) return;
    reported.add(line);
    report(
      reported.size > MAX_LINES
        ? "heartbeat: further messages about other CIDs are suppressed (-d vsock shows them)"
        : line,
    );
  };
}

/** CIDs that were answered, until their launcher is known. */
export class OtherCids {
  #cids: number[] = [];

  /** @param cid the CID of this launcher's enclave. */
  constructor(
    private readonly port: HeartbeatPort,
    private readonly cid: number,
    private readonly report: (line: string) => void,
  ) {}

  /** A heartbeat from this CID was answered. */
  answered(cid: number): void {
    this.#cids.push(cid);
    this.update();
  }

  /** Called when the port's log may have new entries. */
  update(): void {
    const { log } = this.port;
    this.#cids = this.#cids.filter((cid) => log?.isKnown(cid) !== true);
    if (log?.awaitsCid === true) return;
    for (const cid of this.#cids) {
      this.report(`heartbeat from CID ${cid} answered, but not counted: this enclave has CID ${this.cid}`);
    }
    this.#cids = [];
  }
}
