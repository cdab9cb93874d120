/** How the EIF and initramfs readers access bytes, wherever these are: in a file, or in the enclave's memory. */

/** Bytes that are copied out: a file, or a range of one. */
export interface ByteSource {
  /** In bytes. */
  readonly size: number;
  /** Fills `into` from `offset` on. Returns the number of bytes read, which is smaller only at the end. */
  read(into: Uint8Array, offset: number): number;
}

/** Bytes that are viewed in place. */
export interface ByteView {
  /** In bytes. */
  readonly size: number;
  /** Returns at most `length` bytes from `offset` on. The result is valid until the next call. */
  at(offset: number, length: number): Uint8Array;
}

/** Returns a view of a range of a source through one buffer, which limits each result to `bufferBytes`. */
export function bufferedView(
  source: ByteSource,
  range: { readonly offset: number; readonly size: number },
  bufferBytes: number,
): ByteView {
  const buffer = new Uint8Array(bufferBytes);
  return {
    size: range.size,
    at(offset, length) {
      const start = Math.max(0, offset);
      const bytes = Math.max(0, Math.min(length, bufferBytes, range.size - start));
      return buffer.subarray(0, source.read(buffer.subarray(0, bytes), range.offset + start));
    },
  };
}
