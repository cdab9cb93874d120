/** The CRC-32 (IEEE) of an EIF: over the whole file except the four bytes that hold it. */
import { eifHeader } from "./layout.ts";

/** A CRC that is fed the file from its first byte on, in pieces of any size. */
export interface RunningCrc {
  add(piece: Uint8Array): void;
  /** The CRC of what came so far. */
  value(): number;
}

/** Begins at the file's first byte; the CRC's own four bytes are stepped over as they pass. */
export function eifCrc(): RunningCrc {
  const { crc32 } = Bun.hash as unknown as { crc32(bytes: Uint8Array, seed?: number): number };
  // Where it stands in the file, and where what follows it begins.
  const at = eifHeader.offsets.eif_crc32;
  const afterIt = at + 4;
  let crc = 0;
  let offset = 0;
  return {
    add(piece) {
      const before = piece.subarray(0, Math.max(0, at - offset));
      const after = piece.subarray(Math.min(piece.length, Math.max(0, afterIt - offset)));
      if (before.length > 0) crc = crc32(before, crc);
      if (after.length > 0) crc = crc32(after, crc);
      offset += piece.length;
    },
    value: () => crc >>> 0,
  };
}
