/**
 * The console's bytes between the hypervisor and the receiver, and the last of them as evidence of how the enclave
 * exited. One array holds both, so the run loop copies within it and allocates nothing; it is replaced once, by a
 * larger one, if the enclave exits while its receiver does not read.
 */
import { type PinnedBuffer, pinnedBuffer } from "../../sys/pinned-buffer.ts";

const BUFFER_BYTES = 256 * 1024;
/** How much of an exited enclave's console is buffered for a receiver that does not read. */
const DRAIN_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 8 * 1024;

/** The buffer: the bytes from `from` up to `to` are still to be delivered. */
export class ConsoleBuffer {
  from = 0;
  to = 0;
  #size = BUFFER_BYTES;
  /** The buffer, followed by the tail. */
  #all = new Uint8Array(BUFFER_BYTES + TAIL_BYTES);
  #buffer = this.#all.subarray(0, BUFFER_BYTES);
  #tailLength = 0;
  pinned: PinnedBuffer = pinnedBuffer(this.#all);

  get isHolding(): boolean {
    return this.to > this.from;
  }

  /**
   * Whether more can be read behind the held bytes. They are moved to the front only when half of the array is free.
   */
  get canDrain(): boolean {
    return this.#size < DRAIN_BYTES || this.to < this.#size || this.from >= this.#size / 2;
  }

  /** Returns where the next bytes go: the whole buffer if it is empty. */
  freeSpace(): Uint8Array {
    if (!this.isHolding) {
      this.from = 0;
      this.to = 0;
      return this.#buffer;
    }
    if (this.to === this.#size) {
      this.#all.copyWithin(0, this.from, this.to);
      this.to -= this.from;
      this.from = 0;
    }
    return this.#buffer.subarray(this.to);
  }

  /** Accounts for `length` bytes that were read into the free space. */
  filled(length: number): void {
    this.to += length;
    const fresh = Math.min(length, TAIL_BYTES);
    this.#all.copyWithin(this.#size, this.#size + fresh);
    this.#all.copyWithin(this.#all.length - fresh, this.to - fresh, this.to);
    this.#tailLength = Math.min(this.#tailLength + fresh, TAIL_BYTES);
  }

  /** Drops the held bytes. */
  drop(): void {
    this.from = this.to;
  }

  /** Enlarges the buffer, once, and keeps the held bytes. The kernel backs the new array only as it is written. */
  growForRest(): void {
    if (this.#size === DRAIN_BYTES) return;
    const size = DRAIN_BYTES;
    const all = new Uint8Array(size + TAIL_BYTES);
    all.set(this.#all.subarray(this.from, this.to));
    all.set(this.#all.subarray(this.#size), size);
    this.to -= this.from;
    this.from = 0;
    this.#size = size;
    this.#all = all;
    this.#buffer = all.subarray(0, size);
    this.pinned = pinnedBuffer(all);
  }

  /** Returns the last bytes that were read, at most 8 KiB, as text. */
  tail(): string {
    return new TextDecoder().decode(this.#all.subarray(this.#all.length - this.#tailLength));
  }
}
