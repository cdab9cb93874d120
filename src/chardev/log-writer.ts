/** logfile=PATH: a file that records what is written to a character device, with logtimestamp=on line by line. */
import { type Fd, writeSome } from "../sys/files.ts";
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
  ) {}

  /** A write error, such as ENOSPC, loses the bytes from the log only. */
  write(buffer: PinnedBuffer, start: number, end: number): void {
    if (!this.timestamps) return this.#append(buffer, start, end);
    for (let at = start; at < end; ) {
      const lineFeed = buffer.bytes.indexOf(LINE_FEED, at);
      const lineEnd = lineFeed === -1 || lineFeed >= end ? end : lineFeed + 1;
      if (this.#atLineStart) this.#appendTime();
      this.#append(buffer, at, lineEnd);
      this.#atLineStart = buffer.bytes[lineEnd - 1] === LINE_FEED;
      at = lineEnd;
    }
  }

  /** As QEMU's logtimestamp=on: UTC, ISO 8601. */
  #appendTime(): void {
    const stamp = pinnedBuffer(new TextEncoder().encode(`${new Date().toISOString()} `));
    this.#append(stamp, 0, stamp.bytes.length);
  }

  #append(buffer: PinnedBuffer, start: number, end: number): void {
    writeSome(this.system, this.file.number, buffer.address + start, end - start);
  }

  [Symbol.dispose](): void {
    this.file.close();
  }
}
