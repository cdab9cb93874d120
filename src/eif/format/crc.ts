/** The CRC-32 (IEEE) of an EIF: over the whole file except the four bytes that hold it. */
import { eifHeader } from "./layout.ts";

/** Where the CRC is in the file. */
export const CRC_OFFSET = eifHeader.offsets.eif_crc32;
const CRC_BYTES = 4;

/** A CRC of a file that is added from its first byte on, in chunks of any size. */
export interface RunningCrc {
  add(chunk: Uint8Array): void;
  /** Returns the CRC of the bytes so far. */
  value(): number;
}

/** Starts the CRC of an EIF at the file's first byte. */
export function startCrc(): RunningCrc {
  const { crc32 } = Bun.hash as unknown as { crc32(bytes: Uint8Array, seed?: number): number };
  const end = CRC_OFFSET + CRC_BYTES;
  let crc = 0;
  let offset = 0;
  const cover = (bytes: Uint8Array) => {
    if (bytes.length > 0) crc = crc32(bytes, crc);
  };
  return {
    add(chunk) {
      if (offset >= end) cover(chunk);
      else {
        cover(chunk.subarray(0, Math.max(0, CRC_OFFSET - offset)));
        cover(chunk.subarray(Math.min(chunk.length, end - offset)));
      }
      offset += chunk.length;
    },
    value: () => crc >>> 0,
  };
}

/** Returns the bytes of the header's CRC field. */
export function encodeCrc(crc: number): Uint8Array {
  const bytes = new Uint8Array(CRC_BYTES);
  new DataView(bytes.buffer).setUint32(0, crc);
  return bytes;
}

/** Formats a CRC: `0x` and eight hexadecimal digits. */
export function crcText(crc: number): string {
  return `0x${crc.toString(16).padStart(8, "0")}`;
}

/** The message about a file whose CRC is not the one in its header. */
export function crcMismatch(actual: number, expected: number): string {
  return (
    `the CRC-32 of the file is ${crcText(actual)}, its header says ${crcText(expected)} (byte ${CRC_OFFSET}); ` +
    "the file is damaged"
  );
}
