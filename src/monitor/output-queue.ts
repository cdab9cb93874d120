/** A monitor's output, queued until the client reads it, with the limits that create back-pressure. */

import type { Chardev } from "../chardev/chardev.ts";
import { POLLOUT } from "../sys/linux/poll.ts";
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import type { Waiter } from "../sys/poll.ts";
import { wouldBlock } from "../sys/system.ts";

/** From this much unread output on, the monitor reads no further commands. */
const FULL_BYTES = 64 * 1024;
/** From this much unread output on, events are dropped as well. */
const EVENT_LIMIT_BYTES = 1024 * 1024;

/** The output queue of one monitor. */
export class OutputQueue {
  #buffers: PinnedBuffer[] = [];
  /** How much of the first buffer has been written. */
  #written = 0;
  #unreadBytes = 0;
  readonly #writable: Waiter;

  constructor(private readonly chardev: Chardev) {
    this.#writable = {
      get fd() {
        return chardev.fd;
      },
      events: POLLOUT,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: () => this.flush(),
      expired() {},
    };
  }

  /** Whether the monitor has to stop reading commands. */
  get isFull(): boolean {
    return this.#unreadBytes >= FULL_BYTES;
  }

  /** Whether the monitor has to drop events. */
  get dropsEvents(): boolean {
    return this.#unreadBytes >= EVENT_LIMIT_BYTES;
  }

  /** Queues text and writes what fits without blocking. */
  write(text: string): void {
    if (text === "") return;
    const buffer = pinnedBuffer(new TextEncoder().encode(text));
    this.#buffers.push(buffer);
    this.#unreadBytes += buffer.bytes.length;
    if (this.#buffers.length === 1) this.flush();
  }

  /** Writes what fits without blocking. */
  flush(): void {
    for (let buffer = this.#buffers[0]; buffer !== undefined; buffer = this.#buffers[0]) {
      const result = this.chardev.write(buffer, this.#written, buffer.bytes.length);
      if (result < 0) {
        if (!wouldBlock(result)) this.clear();
        return;
      }
      // A write that finds the connection closed calls the frontend's closed(), which clears this queue.
      if (this.#buffers[0] !== buffer) return;
      this.#written += result;
      this.#unreadBytes -= result;
      if (this.#written < buffer.bytes.length) continue;
      this.#buffers.shift();
      this.#written = 0;
    }
  }

  /** Drops everything queued: the client has disconnected. */
  clear(): void {
    this.#buffers = [];
    this.#written = 0;
    this.#unreadBytes = 0;
  }

  addWaiters(list: Waiter[]): void {
    if (this.#buffers.length > 0 && this.chardev.fd !== -1) list.push(this.#writable);
  }
}
