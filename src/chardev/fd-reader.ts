/** Reads a descriptor for a frontend, as far as the frontend can receive. */
import { readSome } from "../sys/files.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import type { Waiter } from "../sys/poll.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import type { Frontend } from "./chardev.ts";

const CHUNK_BYTES = 4096;

/** What an fdReader reads from and for. Both may change from one poll to the next. */
export interface FdReaderSource {
  /** The descriptor, or -1 while there is none. */
  readonly fd: number;
  readonly frontend: Frontend | undefined;
  /** Reads into the buffer; returns the number of bytes or the negative errno. Default: read(2). */
  read?(buffer: Uint8Array): number;
  /** Called at end of file (0) or on a read error (a negative errno). */
  onEnd(result: number): void;
}

/** Returns a waiter that reads the source. Without a frontend that can receive, the descriptor is not polled. */
export function fdReader(system: System, source: FdReaderSource): Waiter {
  const chunk = new Uint8Array(CHUNK_BYTES);
  const capacity = () => Math.min(source.frontend?.canReceive() ?? 0, CHUNK_BYTES);
  return {
    get fd() {
      return capacity() > 0 ? source.fd : -1;
    },
    events: POLLIN,
    deadlineMs: Number.POSITIVE_INFINITY,
    ready() {
      const maxBytes = capacity();
      if (maxBytes <= 0 || source.fd === -1) return;
      const buffer = chunk.subarray(0, maxBytes);
      const result = source.read?.(buffer) ?? readSome(system, source.fd, buffer);
      if (wouldBlock(result)) return;
      if (result <= 0) source.onEnd(result);
      else source.frontend?.receive(chunk.subarray(0, result));
    },
    expired() {},
  };
}
