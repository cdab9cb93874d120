/** Byte sources and views of the tests. */
import type { ByteSource, ByteView } from "../../../src/eif/format/bytes.ts";

/** A file in memory. @param size where it differs from that of the bytes. */
export function sourceOf(bytes: Uint8Array, size = bytes.length): ByteSource {
  return {
    size,
    read(into, offset) {
      const range = bytes.subarray(offset, offset + into.length);
      into.set(range);
      return range.length;
    },
  };
}

export function viewOf(bytes: Uint8Array): ByteView {
  return {
    size: bytes.length,
    at: (from, length) => bytes.subarray(Math.max(0, from), Math.max(0, from) + length),
  };
}
