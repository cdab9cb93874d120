/**
 * Zstandard frames (RFC 8878, 3.1.1): the size of their content by the header, and where they end, because the
 * decompressor accepts a truncated frame.
 */
import type { ByteView } from "../format/bytes.ts";

/** The frame's first four bytes, little-endian. */
const MAGIC = 0xfd2fb528;
/** The maximum size of a frame's header. */
export const ZSTD_HEADER_BYTES = 18;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;

/** The header of a frame. */
export interface ZstdHeader {
  readonly headerBytes: number;
  /** The size of the content; undefined if the header does not state it. */
  readonly contentBytes: number | undefined;
  readonly hasChecksum: boolean;
}

/** Reads a frame's header from its first ZSTD_HEADER_BYTES; undefined if it is not one, or truncated. */
export function zstdHeader(head: Uint8Array): ZstdHeader | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = head[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  const at = 5 + (singleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0);
  if (head.length < at + sizeBytes) return undefined;
  const headerBytes = at + sizeBytes;
  return { headerBytes, contentBytes: contentSize(view, at, sizeBytes), hasChecksum: (descriptor & 4) !== 0 };
}

function contentSize(view: DataView, at: number, sizeBytes: number): number | undefined {
  if (sizeBytes === 1) return view.getUint8(at);
  if (sizeBytes === 2) return view.getUint16(at, true) + 256;
  if (sizeBytes === 4) return view.getUint32(at, true);
  return sizeBytes === 8 ? Number(view.getBigUint64(at, true)) : undefined;
}

/** Returns where the frame at the start of `bytes` ends; undefined if it is truncated, or not a frame. */
export function zstdFrameEnd(bytes: Uint8Array): number | undefined {
  return zstdFrameEndAt({ size: bytes.length, at: (from, length) => bytes.subarray(from, from + length) }, 0);
}

/** The same for a frame at `offset`; only block headers are read. */
export function zstdFrameEndAt(bytes: ByteView, offset: number): number | undefined {
  const header = zstdHeader(bytes.at(offset, ZSTD_HEADER_BYTES));
  if (header === undefined) return undefined;
  for (let at = offset + header.headerBytes; at + 3 <= bytes.size; ) {
    const [low = 0, middle = 0, high = 0] = bytes.at(at, 3);
    const block = low | (middle << 8) | (high << 16);
    const type = (block >> 1) & 3;
    if (type === 3) return undefined;
    at += 3 + (type === 1 ? 1 : block >> 3);
    if ((block & 1) === 1) {
      const end = at + (header.hasChecksum ? 4 : 0);
      return end <= bytes.size ? end : undefined;
    }
  }
  return undefined;
}
