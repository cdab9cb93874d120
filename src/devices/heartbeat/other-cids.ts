/**
 * Heartbeats of enclaves that are not this launcher's: told, unless they are those of other launches that share the
 * port. An enclave may be up before its launcher, on a busy machine, has come to say which CID it has; so where another
 * launch is under way, it is waited for before anything is told.
 */
import type { HeartbeatPort } from "./port.ts";

/** So many lines about others are told: whoever connects without end must not fill a journal. */
const MOST_LINES = 32;

/** Tells each line once, and so many at the most. */
export function sparing(report: (line: string) => void): (line: string) => void {
  const told = new Set<string>();
  return (line) => {
    if (told.has(line) || told.size > MOST_LINES) return;
    told.add(line);
    report(told.size > MOST_LINES ? "heartbeat: more of the kind are not told (-d vsock shows them)" : line);
  };
}

/** Who was answered, until it is known who that was. */
export class Strangers {
  #cids: number[] = [];

  /** @param cid this launcher's own enclave's. */
  constructor(
    private readonly port: HeartbeatPort,
    private readonly cid: number,
    private readonly report: (line: string) => void,
  ) {}

  /** A heartbeat from this CID was answered. */
  answered(cid: number): void {
    this.#cids.push(cid);
    this.look();
  }

  /** There may be something new in the port's log. */
  look(): void {
    const { log } = this.port;
    this.#cids = this.#cids.filter((cid) => log?.isKnown(cid) !== true);
    if (log?.awaitsCid === true) return;
    for (const cid of this.#cids) {
      this.report(
        `heartbeat: answered one from CID ${cid}, which is not this enclave (CID ${this.cid}); not counted`,
      );
    }
    this.#cids = [];
  }
}
