/** Files that look like kernels, and their containers, written from the formats' specifications. */
import { gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";

/** Bytes that look like a flat arm64 Image (Documentation/arch/arm64/booting.rst): `MZ`, image_size, `ARM\x64`. */
export function arm64Image(length = 100_000): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * i * 31 + (i >> 7)) & 0xff);
  bytes.fill(0, 0, 64);
  bytes.set([0x4d, 0x5a], 0);
  new DataView(bytes.buffer).setBigUint64(16, BigInt(length + 4096), true);
  bytes.set(new TextEncoder().encode("ARMd"), 0x38);
  return bytes;
}

export function gzipped(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(gzipSync(bytes));
}

/** A zstd frame with a checksum and the content's size in its header, as zstd(1) writes it. */
export function zstandard(bytes: Uint8Array): Uint8Array {
  const params = { [zlib.ZSTD_c_checksumFlag]: 1 };
  return new Uint8Array(zstdCompressSync(bytes, { params, pledgedSrcSize: bytes.length }));
}

/** Wrong values of a zboot header. */
export interface ZbootSpec {
  readonly compression?: string;
  readonly payloadOffset?: number;
  readonly payloadSize?: number;
}

/**
 * Returns an EFI zboot image with a payload: `MZ`, `zimg`, offset and size of the payload, the compression's name at
 * 24, the PE header's offset at 60, and after a payload other than gzip the content's size.
 */
export function zboot(payload: Uint8Array, content: Uint8Array, spec: ZbootSpec = {}): Uint8Array {
  const offset = 0x1000;
  const file = Buffer.alloc(offset + payload.length + 4 + 512);
  file.write("MZ", 0, "latin1");
  file.write("zimg", 4, "latin1");
  file.writeUInt32LE(spec.payloadOffset ?? offset, 8);
  file.writeUInt32LE(spec.payloadSize ?? payload.length, 12);
  file.write(spec.compression ?? "gzip", 24, "latin1");
  file.writeUInt32LE(0x818223cd, 0x38);
  file.writeUInt32LE(0x40, 0x3c);
  file.write("PE\0\0", 0x40, "latin1");
  file.writeUInt16LE(0xaa64, 0x44);
  file.set(payload, offset);
  if (spec.compression !== undefined && spec.compression !== "gzip") {
    file.writeUInt32LE(content.length, offset + payload.length);
  }
  return new Uint8Array(file);
}
