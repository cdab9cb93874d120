/** A place that bytes are written to without ever waiting. */
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";

/** Where a device's bytes go. */
export interface Sink extends Disposable {
  /** The user's name for it, as in `-serial file:PATH`. */
  readonly name: string;
  /** The descriptor that polls as writable when more can be taken; -1 while there is none. */
  readonly fd: number;
  /**
   * How long a writer waits for a receiver that takes nothing, in milliseconds: for ever (Infinity) where the
   * receiver is the user's own file, pipe or terminal; not long where it is some client that need not read.
   */
  readonly patienceMs: number;
  /**
   * Takes the block's bytes from `start` to `end`, or as many as it can at once.
   * Gives the bytes taken, -EAGAIN when none can be taken now, or the negative errno of a lost receiver.
   */
  write(block: PinnedBuffer, start: number, end: number): number;
  /** The writer's patience is over and these bytes are not written; a log still has them. */
  skip?(block: PinnedBuffer, start: number, end: number): void;
}
