/** Bytes that come in on a descriptor, read only as far as somebody has room for them. */
import { readSome } from "../sys/files.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import type { Waiter } from "../sys/poll.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import type { Frontend } from "./chardev.ts";

const CHUNK_BYTES = 4096;

/** What a reader reads for. */
export interface Source {
  /** The descriptor, or -1 while there is none. */
  readonly fd: number;
  readonly frontend: Frontend | undefined;
  /** The other end is gone: 0, or the negative errno. */
  ended(result: number): void;
}

/** A waiter that reads for a source. Without a frontend what comes is left where it is. */
export function reader(system: System, source: Source): Waiter {
  const chunk = new Uint8Array(CHUNK_BYTES);
  const room = () => Math.min(source.frontend?.room() ?? 0, CHUNK_BYTES);
  return {
    get fd() {
      return room() > 0 ? source.fd : -1;
    },
    events: POLLIN,
    deadlineMs: Number.POSITIVE_INFINITY,
    ready() {
      const most = room();
      if (most <= 0 || source.fd === -1) return;
      const got = readSome(system, source.fd, most === CHUNK_BYTES ? chunk : chunk.subarray(0, most));
      if (wouldBlock(got)) return;
      if (got <= 0) source.ended(got);
      else source.frontend?.receive(chunk.subarray(0, got));
    },
    expired() {},
  };
}
