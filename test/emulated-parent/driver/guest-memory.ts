/** Donated memory, concatenated in the order of its donation, as the enclave sees it. */
import type { Mapping } from "../sys/files.ts";

interface Piece {
  mapping: Mapping;
  start: number;
  /** The CRC at donation, undefined if it was not requested. */
  crc: number | undefined;
  reported: boolean;
}

/** The memory of one enclave, in the supervisor's own address space without a copy. */
export class GuestMemory {
  /** Its size in bytes. */
  length = 0;
  private pieces: Piece[] = [];

  /** Appends donated memory. @param remember compute its CRC, for `changed`. */
  append(mapping: Mapping, remember: boolean): void {
    const crc = remember ? crcOf(mapping.view, 0) : undefined;
    this.pieces.push({ mapping, start: this.length, crc, reported: false });
    this.length += mapping.view.length;
  }

  /** Returns views of a range, in order; together shorter than requested if the memory ends. */
  views(offset: number, length: number): Uint8Array<ArrayBuffer>[] {
    const views: Uint8Array<ArrayBuffer>[] = [];
    for (const { mapping, start } of this.pieces) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + mapping.view.length);
      if (from < to) views.push(mapping.view.subarray(from - start, to - start));
    }
    return views;
  }

  /** Returns a copy of a range; undefined if the memory ends before. */
  copy(offset: number, length: number): Uint8Array<ArrayBuffer> | undefined {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const view of this.views(offset, length)) {
      bytes.set(view, at);
      at += view.length;
    }
    return at === length ? bytes : undefined;
  }

  /** Returns the CRC-32 of a range, continued from `seed`. */
  crc(offset: number, length: number, seed: number): number {
    return this.views(offset, length).reduce((crc, view) => crcOf(view, crc), seed);
  }

  /** Returns ranges that were written to after the donation, each once. */
  changed(): { offset: number; bytes: number }[] {
    const changed: { offset: number; bytes: number }[] = [];
    for (const piece of this.pieces) {
      const { mapping, start, crc, reported } = piece;
      if (crc === undefined || reported || crcOf(mapping.view, 0) === crc) continue;
      piece.reported = true;
      changed.push({ offset: start, bytes: mapping.view.length });
    }
    return changed;
  }

  /** Unmaps everything. */
  release(): void {
    for (const { mapping } of this.pieces) mapping.release();
    this.pieces = [];
    this.length = 0;
  }
}

function crcOf(view: Uint8Array, seed: number): number {
  return Bun.hash.crc32(view, seed);
}
