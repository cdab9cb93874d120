/**
 * The console's bytes between the hypervisor and their receiver, and the last of them for telling how the enclave
 * ended. One array serves both, so that a turn copies within it and makes no view; it is exchanged once, for a larger
 * one, when the enclave is over and its receiver does not read.
 */
import { type PinnedBuffer, pinnedBuffer } from "../../sys/pinned-buffer.ts";

const BUFFER_BYTES = 256 * 1024;
/** So much of a dead enclave's console is read for a receiver that takes nothing; beyond that it is waited for. */
const REST_BYTES = 16 * 1024 * 1024;
/** How much of the console's end is kept. */
const TAIL_BYTES = 8 * 1024;

/** Bytes from `from` to `to` of the block are held. */
export class ConsoleBuffer {
  from = 0;
  to = 0;
  #size = BUFFER_BYTES;
  /** The buffer, and behind it the tail. */
  #all = new Uint8Array(BUFFER_BYTES + TAIL_BYTES);
  #free = this.#all.subarray(0, BUFFER_BYTES);
  #tailLength = 0;
  block: PinnedBuffer = pinnedBuffer(this.#all);

  get isHolding(): boolean {
    return this.to > this.from;
  }

  /** Whether the rest can be read behind what is held, which is moved only when half of the array is behind it. */
  get hasRoomForRest(): boolean {
    return this.#size < REST_BYTES || this.to < this.#size || this.from >= this.#size / 2;
  }

  /** Where the next bytes are read to: all of it while nothing is held. */
  room(): Uint8Array {
    if (!this.isHolding) {
      this.from = 0;
      this.to = 0;
      return this.#free;
    }
    if (this.to === this.#size) {
      this.#all.copyWithin(0, this.from, this.to);
      this.to -= this.from;
      this.from = 0;
    }
    return this.#free.subarray(this.to);
  }

  /** So many bytes have been read there. */
  filled(got: number): void {
    this.to += got;
    const fresh = Math.min(got, TAIL_BYTES);
    this.#all.copyWithin(this.#size, this.#size + fresh);
    this.#all.copyWithin(this.#all.length - fresh, this.to - fresh, this.to);
    this.#tailLength = Math.min(this.#tailLength + fresh, TAIL_BYTES);
  }

  /** Lets go of what is held. */
  drop(): void {
    this.from = this.to;
  }

  /** Makes room for the rest, the first time; what is held stays. The kernel gives memory as it is written to. */
  growForRest(): void {
    if (this.#size === REST_BYTES) return;
    const size = REST_BYTES;
    const all = new Uint8Array(size + TAIL_BYTES);
    all.set(this.#all.subarray(this.from, this.to));
    all.set(this.#all.subarray(this.#size), size);
    this.to -= this.from;
    this.from = 0;
    this.#size = size;
    this.#all = all;
    this.#free = all.subarray(0, size);
    this.block = pinnedBuffer(all);
  }

  /** The last bytes that have been read, at most 8 KiB, as text. */
  tail(): string {
    return new TextDecoder().decode(this.#all.subarray(this.#all.length - this.#tailLength));
  }
}
