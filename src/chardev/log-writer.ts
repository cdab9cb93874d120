/** logfile=PATH: a file that records what is written to a character device, with logtimestamp=on line by line. */
import { type Fd, writeSome } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { OutputLoss } from "../sys/output-loss.ts";
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import type { System } from "../sys/system.ts";

const LINE_FEED = 10;

/** The log of a device. Owns its file. */
export class LogWriter implements Disposable {
  #atLineStart = true;

  /** @param timestamps whether each line begins with the time. */
  constructor(
    private readonly system: System,
    private readonly file: Fd,
    private readonly timestamps: boolean,
    private readonly loss: OutputLoss,
  ) {}

  /** Writes what fits without waiting. A write error, such as ENOSPC, loses bytes from the log only. */
  write(buffer: PinnedBuffer, start: number, end: number): void {
    const isComplete = this.timestamps
      ? this.#writeLines(buffer, start, end)
      : this.#append(buffer, start, end);
    if (isComplete) this.loss.worked();
  }

  #writeLines(buffer: PinnedBuffer, start: number, end: number): boolean {
    let isComplete = true;
    for (let at = start; at < end; ) {
      const lineFeed = buffer.bytes.indexOf(LINE_FEED, at);
      const lineEnd = lineFeed === -1 || lineFeed >= end ? end : lineFeed + 1;
      if (this.#atLineStart) isComplete = this.#appendTime() && isComplete;
      isComplete = this.#append(buffer, at, lineEnd) && isComplete;
      this.#atLineStart = buffer.bytes[lineEnd - 1] === LINE_FEED;
      at = lineEnd;
    }
    return isComplete;
  }

  /** As QEMU's logtimestamp=on: UTC, ISO 8601. */
  #appendTime(): boolean {
    const stamp = pinnedBuffer(new TextEncoder().encode(`${new Date().toISOString()} `));
    return this.#append(stamp, 0, stamp.bytes.length);
  }

  /** Returns false if it dropped bytes. */
  #append({ address }: PinnedBuffer, start: number, end: number): boolean {
    for (let at = start; at < end; ) {
      const written = writeSome(this.system, this.file.number, address + at, end - at);
      if (written <= 0) {
        this.loss.failed(-written || ERRNO.EIO, end - at);
        return false;
      }
      at += written;
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.loss.ended();
    this.file.close();
  }
}
