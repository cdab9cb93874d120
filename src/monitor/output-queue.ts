/** What a monitor has to say, kept until its client takes it. */

import type { Chardev } from "../chardev/chardev.ts";
import { POLLOUT } from "../sys/linux/poll.ts";
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import type { Waiter } from "../sys/poll.ts";
import { wouldBlock } from "../sys/system.ts";

/** With so much unread, no further command is taken. */
const FULL_BYTES = 64 * 1024;
/** With so much unread, events are left out: a client that does not read them cannot miss them. */
const OVERFULL_BYTES = 1024 * 1024;

/** Text on its way to one client. */
export class OutputQueue {
  #blocks: PinnedBuffer[] = [];
  #sent = 0;
  #bytes = 0;
  readonly #waiting: Waiter;

  constructor(private readonly line: Chardev) {
    this.#waiting = {
      get fd() {
        return line.fd;
      },
      events: POLLOUT,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: () => this.flush(),
      expired() {},
    };
  }

  /** Whether so much is unread that nothing more should be asked for. */
  get isFull(): boolean {
    return this.#bytes >= FULL_BYTES;
  }

  /** Whether even what nobody has asked for is too much. */
  get isOverfull(): boolean {
    return this.#bytes >= OVERFULL_BYTES;
  }

  /** Says it now as far as the client takes it, the rest when it does. */
  say(text: string): void {
    if (text === "") return;
    const block = pinnedBuffer(new TextEncoder().encode(text));
    this.#blocks.push(block);
    this.#bytes += block.bytes.length;
    if (this.#blocks.length === 1) this.flush();
  }

  /** Sends what can be sent without waiting. */
  flush(): void {
    for (let block = this.#blocks[0]; block !== undefined; block = this.#blocks[0]) {
      const put = this.line.write(block, this.#sent, block.bytes.length);
      if (put < 0) {
        if (!wouldBlock(put)) this.clear();
        return;
      }
      // The write may be what told that the client has gone: then there is nothing left to count.
      if (this.#blocks[0] !== block) return;
      this.#sent += put;
      this.#bytes -= put;
      if (this.#sent < block.bytes.length) continue;
      this.#blocks.shift();
      this.#sent = 0;
    }
  }

  /** Forgets what is unread: the client has gone. */
  clear(): void {
    this.#blocks = [];
    this.#sent = 0;
    this.#bytes = 0;
  }

  addWaiters(list: Waiter[]): void {
    if (this.#blocks.length > 0 && this.line.fd !== -1) list.push(this.#waiting);
  }
}
