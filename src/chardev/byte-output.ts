/** The output half of a character device: non-blocking writes of pinned buffers. */
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";

/** The `writeTimeoutMs` of a destination whose client may have stopped reading. */
export const CLIENT_WRITE_TIMEOUT_MS = 1000;

/** A destination for bytes whose writes never block. */
export interface ByteOutput extends Disposable {
  /** The destination in the user's terms, for messages: the path of `-serial file:PATH`, or "standard output". */
  readonly name: string;
  /** The descriptor to poll for POLLOUT after a write returned -EAGAIN; -1 if there is none. */
  readonly fd: number;
  /**
   * How long a writer retries after -EAGAIN before it drops data, in milliseconds. Infinity for the user's own file,
   * pipe or terminal; finite for a client that may have stopped reading.
   */
  readonly writeTimeoutMs: number;
  /**
   * Writes `buffer` from `start` to `end`, or as much of it as fits now.
   * Returns the number of bytes written, -EAGAIN if none fit, or another negative errno if the write failed. A later
   * write may succeed: a disk that was full has space again.
   */
  write(buffer: PinnedBuffer, start: number, end: number): number;
  /** Called for bytes that are dropped, after the timeout or a failed write; a log file still records them. */
  discard?(buffer: PinnedBuffer, start: number, end: number): void;
}
