/**
 * The hypervisor's console of one enclave: it keeps what the enclave prints for its first reader, and sends it as fast
 * as it is read.
 */

import type { Loop, Watch } from "./loop.ts";
import { E } from "./sys/errno.ts";
import { closeFd, writeSome } from "./sys/files.ts";
import { POLL } from "./sys/kernel.ts";
import type { Trace } from "./trace.ts";

const LINE_BYTES = 16;
const PATTERN_LINES = 65_521; // a prime, so that a missing piece of round size is always noticed
const PATTERN_BYTES = LINE_BYTES * PATTERN_LINES;
const TURN_BYTES = 4 * 1024 * 1024; // how much one reader receives before others are served

let pattern: Uint8Array<ArrayBuffer> | undefined;

/** Returns bytes of the flood pattern from an offset on: numbered lines of 16 bytes, repeated after 65,521 lines. */
export function floodPattern(offset: number, length: number): Uint8Array {
  pattern ??= makePattern();
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const from = (offset + done) % PATTERN_BYTES;
    const piece = pattern.subarray(from, Math.min(PATTERN_BYTES, from + length - done));
    bytes.set(piece, done);
    done += piece.length;
  }
  return bytes;
}

function makePattern(): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(new ArrayBuffer(PATTERN_BYTES));
  for (let line = 0; line < PATTERN_LINES; line++)
    text.write(`flood ${String(line).padStart(9, "0")}\n`, line * 16);
  return text;
}

/** A piece of output: bytes, or a length of the pattern. */
interface Chunk {
  start: number;
  length: number;
  bytes: Uint8Array | undefined;
}

interface Reader {
  watch: Watch;
  position: number;
  delivered: number;
}

/** When a console pauses. */
export interface ConsoleStall {
  afterBytes: number | null;
  ms: number;
}

/** The console of one enclave. */
export class EnclaveConsole {
  /** Bytes that the enclave has printed. */
  produced = 0;
  /** Bytes that all readers together have received. */
  delivered = 0;
  private chunks: Chunk[] = [];
  private readers: Reader[] = [];
  private ended = false;
  /** Where the next reader begins if there is no other reader. */
  private resume = 0;
  private stalledUntil: number | undefined;

  constructor(
    private readonly loop: Loop,
    private readonly trace: Trace,
    readonly cid: number,
    private readonly stall: ConsoleStall,
  ) {}

  /** Adds bytes that the enclave prints; they are kept until they are read. */
  print(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.append({ start: this.produced, length: bytes.length, bytes });
  }

  /** Adds a length of the pattern, which needs no memory. */
  flood(length: number): void {
    if (length > 0) this.append({ start: this.produced, length, bytes: undefined });
  }

  /** The enclave has exited: readers receive the rest, then the end. */
  end(): void {
    this.ended = true;
    for (const reader of [...this.readers]) this.serve(reader);
  }

  /** Adds a reader, and takes over its descriptor. */
  connect(fd: number): void {
    const position = this.readers.length === 0 ? this.resume : this.produced;
    const watch = this.loop.watch(fd, POLL.OUT, (ready) => {
      if ((ready & (POLL.ERR | POLL.HUP)) !== 0) this.disconnect(reader, "closed by the reader");
      else this.serve(reader);
    });
    const reader: Reader = { watch, position, delivered: 0 };
    this.readers.push(reader);
    this.trace.add("console connect", { cid: this.cid, from: position, produced: this.produced });
  }

  /** Closes everything, even if output is left. */
  close(): void {
    for (const reader of [...this.readers]) this.disconnect(reader, "cut off");
  }

  private append(chunk: Chunk): void {
    this.chunks.push(chunk);
    this.produced += chunk.length;
    for (const reader of this.readers) reader.watch.events = POLL.OUT;
  }

  private serve(reader: Reader): void {
    let budget = TURN_BYTES;
    while (budget > 0 && !this.isStalled()) {
      const piece = this.pieceAt(reader.position, Math.min(budget, this.beforeStall()));
      if (piece === undefined) break;
      const sent = writeSome(reader.watch.fd, piece);
      if (sent === -E.EAGAIN) return; // the loop reports when there is room again
      if (sent < 0) return this.disconnect(reader, "closed by the reader");
      reader.position += sent;
      reader.delivered += sent;
      this.delivered += sent;
      budget -= sent;
    }
    this.forget();
    if (reader.position < this.produced) {
      reader.watch.events = this.isStalled() ? 0 : POLL.OUT;
    } else if (this.ended) this.disconnect(reader, "end of the enclave");
    else reader.watch.events = 0;
  }

  /** Returns how many bytes may be sent before the console pauses. */
  private beforeStall(): number {
    const { afterBytes } = this.stall;
    if (afterBytes === null || this.stalledUntil !== undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, afterBytes - this.delivered);
  }

  private isStalled(): boolean {
    if (this.stalledUntil === undefined) {
      if (this.beforeStall() > 0) return false;
      this.stalledUntil = performance.now() + this.stall.ms;
      this.trace.add("console stalls", { cid: this.cid, delivered: this.delivered, ms: this.stall.ms });
      this.loop.after(this.stall.ms, () => {
        for (const reader of this.readers) reader.watch.events = POLL.OUT;
      });
    }
    return performance.now() < this.stalledUntil;
  }

  private pieceAt(position: number, most: number): Uint8Array | undefined {
    const chunk = this.chunks.find(({ start, length }) => position >= start && position < start + length);
    if (chunk === undefined) return undefined;
    const within = position - chunk.start;
    const length = Math.min(chunk.length - within, most);
    if (chunk.bytes !== undefined) return chunk.bytes.subarray(within, within + length);
    pattern ??= makePattern();
    const from = within % PATTERN_BYTES;
    return pattern.subarray(from, Math.min(PATTERN_BYTES, from + length));
  }

  /** Drops what every reader has received. */
  private forget(): void {
    const needed = Math.min(...this.readers.map((reader) => reader.position));
    const first = this.chunks[0];
    if (first === undefined || first.start + first.length > needed) return;
    this.chunks = this.chunks.filter(({ start, length }) => start + length > needed);
  }

  private disconnect(reader: Reader, reason: string): void {
    if (reader.watch.closed) return;
    this.loop.unwatch(reader.watch);
    closeFd(reader.watch.fd);
    this.readers = this.readers.filter((other) => other !== reader);
    this.resume = Math.max(this.resume, reader.position);
    this.trace.add("console closed", { cid: this.cid, reason, delivered: reader.delivered });
  }
}
