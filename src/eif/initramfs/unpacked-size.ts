/**
 * How a ramdisk is compressed, and the size of its content, by a few bytes at its start and end. Sources: RFC 1952
 * (gzip), RFC 8878 (zstd), https://tukaani.org/xz/xz-file-format.txt, the LZMA SDK's lzma.txt, and lib/decompress.c for
 * what the kernel unpacks.
 */
import type { ByteView } from "../format/bytes.ts";
import { ZSTD_HEADER_BYTES, zstdHeader } from "./zstd-frame.ts";

/** Compressions that the kernel supports. */
export type Compression = "gzip" | "zstd" | "xz" | "lzma" | "bzip2" | "lz4" | "lzo";

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["lzma", [0x5d, 0x00, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["lz4", [0x02, 0x21, 0x4c, 0x18]],
  ["lzo", [0x89, 0x4c, 0x5a, 0x4f]],
];

/** Recognises the compression of the bytes from `offset` on; undefined if the format is unknown. */
export function compressionAt(bytes: ByteView, offset: number): Compression | undefined {
  const head = bytes.at(offset, 6);
  return MAGIC.find(([, magic]) => !magic.some((byte, i) => head[i] !== byte))?.[0];
}

/**
 * Returns the unpacked size in bytes of the data from `offset` to the end; undefined if the headers do not state it. If
 * the data is several concatenated streams, the result may be the size of one of them, which is too small. It is too
 * large only for a truncated gzip file, whose last bytes are not a size.
 */
export function unpackedSize(bytes: ByteView, offset: number, compression: Compression): number | undefined {
  switch (compression) {
    case "gzip":
      // A smaller value has wrapped at 2^32, or is padding.
      return atLeast(gzipSize(bytes), bytes.size - offset);
    case "zstd":
      return zstdHeader(bytes.at(offset, ZSTD_HEADER_BYTES))?.contentBytes;
    case "xz":
      return xzSize(bytes, offset);
    case "lzma":
      return lzmaSize(bytes.at(offset + 5, 8));
    default:
      return undefined;
  }
}

/** Returns the content's size modulo 2^32, from the end of the last member. */
export function gzipSize(bytes: ByteView): number {
  return littleEndian(bytes.at(bytes.size - 4, 4));
}

function atLeast(value: number, least: number): number | undefined {
  return value < least ? undefined : value;
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
}

/** All bits set mean that the size is unknown. */
function lzmaSize(bytes: Uint8Array): number | undefined {
  const size = littleEndian(bytes);
  return bytes.length === 8 && Number.isSafeInteger(size) ? size : undefined;
}

const XZ_FOOTER_BYTES = 12;
/** The index of a stream has about ten bytes per block, and a block several megabytes. */
const MAX_XZ_INDEX_BYTES = 64 * 1024;

/** Reads the index of the last stream, which the footer locates; stream padding is not supported. */
function xzSize(bytes: ByteView, offset: number): number | undefined {
  const footer = bytes.at(bytes.size - XZ_FOOTER_BYTES, XZ_FOOTER_BYTES);
  const indexBytes = 4 * (littleEndian(footer.subarray(4, 8)) + 1);
  const at = bytes.size - XZ_FOOTER_BYTES - indexBytes;
  if (footer[10] !== 0x59 || footer[11] !== 0x5a || indexBytes > MAX_XZ_INDEX_BYTES || at < offset) {
    return undefined;
  }
  const numbers = multibytes(bytes.at(at, indexBytes - 4).subarray(1));
  const records = numbers.next().value ?? 0;
  let size = 0;
  for (let i = 0; i < records; i++) {
    const [unpadded, uncompressed] = [numbers.next().value, numbers.next().value];
    if (unpadded === undefined || uncompressed === undefined) return undefined;
    size += uncompressed;
  }
  return Number.isSafeInteger(size) ? size : undefined;
}

/** Integers of seven bits a byte, the lowest first; the last byte of each has its highest bit clear. */
function* multibytes(bytes: Uint8Array): Generator<number, undefined> {
  let [value, unit] = [0, 1];
  for (const byte of bytes) {
    value += (byte & 0x7f) * unit;
    unit *= 128;
    if (byte >= 0x80) continue;
    yield value;
    [value, unit] = [0, 1];
  }
  return undefined;
}
