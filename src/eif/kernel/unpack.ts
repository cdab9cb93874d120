/**
 * Unpacks the flat arm64 Image from what distributions ship: an Image compressed with gzip, or an EFI zboot image
 * (drivers/firmware/efi/libstub/zboot-header.S), which contains a compressed one. Loaded only for such kernels.
 */
import { constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import { shellQuote } from "../../sys/shell-quote.ts";
import type { ByteSource } from "../format/bytes.ts";
import { ZSTD_HEADER_BYTES, zstdFrameEnd, zstdHeader } from "../initramfs/zstd-frame.ts";
import { bootableFormat, KERNEL_HEAD_BYTES, KernelError, kernelFormat } from "./format.ts";

/** No kernel is larger, packed or unpacked; it limits the memory that a file can make nitro allocate. */
export const MAX_KERNEL_BYTES = 256 * 1024 * 1024;

/** Offsets in the zboot header, little-endian: `zimg` at 4, then the payload's offset, size and compression. */
const ZBOOT = { payloadOffset: 8, payloadSize: 12, compression: 24, end: 0x38 } as const;

/** The size of a gzip file's header and trailer (RFC 1952, 2.3). */
const MIN_GZIP_BYTES = 18;
/** A compressed prefix that contains the first bytes of the content. */
const PROBE_BYTES = 16 * 1024;

/**
 * Returns the flat Image in a file.
 * @param path for the command in a hint. Throws KernelError if the file is truncated, damaged, too large, or contains
 * something else.
 */
export function unpackKernel(file: ByteSource, form: "gzip" | "zboot", path: string): Uint8Array {
  const { bytes, method, name } = form === "gzip" ? gzipFile(file, path) : zbootPayload(file);
  const kernel = method === "gzip" ? gunzip(bytes, name) : unzstd(bytes, name);
  checkContent(kernel, name);
  return kernel;
}

/** Compressed bytes, and how messages start. */
interface Packed {
  readonly bytes: Uint8Array;
  readonly method: "gzip" | "zstd";
  readonly name: string;
}

function gzipFile(file: ByteSource, path: string): Packed {
  const name = "it is compressed with gzip";
  if (file.size > MAX_KERNEL_BYTES)
    throw tooLarge(name, `gzip -dc ${shellQuote(path)} > Image, if it contains one`);
  return { bytes: readRange(file, 0, file.size, name), method: "gzip", name };
}

function zbootPayload(file: ByteSource): Packed {
  const name = "it is an EFI zboot image";
  const header = readRange(file, 0, ZBOOT.end, name);
  const view = new DataView(header.buffer);
  const offset = view.getUint32(ZBOOT.payloadOffset, true);
  const size = view.getUint32(ZBOOT.payloadSize, true);
  const method = textOf(header.subarray(ZBOOT.compression, ZBOOT.end));
  if (method !== "gzip" && method !== "zstd") {
    throw new KernelError(
      `${name} whose payload is compressed with ${method}; nitro supports gzip and zstd`,
      "build the kernel with CONFIG_KERNEL_GZIP or CONFIG_KERNEL_ZSTD, or use its arch/arm64/boot/Image",
    );
  }
  if (offset < ZBOOT.end || offset + size > file.size) {
    throw new KernelError(
      `${name} whose payload (${size} bytes from byte ${offset}) is not within the file (${file.size} bytes)`,
      "copy it again and compare the checksums",
    );
  }
  if (size > MAX_KERNEL_BYTES) throw tooLarge(name, undefined);
  return { bytes: readRange(file, offset, size, name), method, name: `${name} with a ${method} payload` };
}

/** Returns the text of a field that is padded with NUL bytes; unprintable characters become `?`. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  const bytes = field.subarray(0, end === -1 ? field.length : end);
  return Array.from(bytes, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?")).join("");
}

function readRange(file: ByteSource, offset: number, size: number, name: string): Uint8Array {
  const bytes = new Uint8Array(size);
  if (offset + size > file.size || file.read(bytes, offset) !== size) throw truncated(name);
  return bytes;
}

function gunzip(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length < MIN_GZIP_BYTES) throw truncated(name);
  // The content is checked before all of it is unpacked.
  const probe = diagnosing(name, () =>
    gunzipSync(bytes.subarray(0, PROBE_BYTES), { finishFlush: constants.Z_SYNC_FLUSH }),
  );
  if (bytes.length > PROBE_BYTES) checkContent(probe, name);
  // The last four bytes are the content's size modulo 2^32 (RFC 1952, 2.3.1).
  const claimed = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4, true);
  return diagnosing(name, () =>
    gunzipSync(bytes, { maxOutputLength: MAX_KERNEL_BYTES, ...oneChunk(claimed) }),
  );
}

function unzstd(bytes: Uint8Array, name: string): Uint8Array {
  const end = zstdFrameEnd(bytes);
  if (end === undefined) throw truncated(name);
  const claimed = zstdHeader(bytes.subarray(0, ZSTD_HEADER_BYTES))?.contentBytes ?? 0;
  const frame = bytes.subarray(0, end);
  return diagnosing(name, () =>
    zstdDecompressSync(frame, { maxOutputLength: MAX_KERNEL_BYTES, ...oneChunk(claimed) }),
  );
}

/** Makes zlib allocate a buffer of the claimed size; if it is right, the content needs no second one. */
function oneChunk(claimed: number): { chunkSize: number } {
  return { chunkSize: claimed > MAX_KERNEL_BYTES ? 1024 * 1024 : Math.max(claimed, 64 * 1024) };
}

function diagnosing(name: string, unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(name, undefined);
    if (code === "Z_BUF_ERROR") throw truncated(name);
    if (typeof code === "string" && /^Z(STD)?_/.test(code)) {
      throw new KernelError(`${name}, but damaged: ${message}`, "copy it again and compare the checksums");
    }
    throw error;
  }
}

function checkContent(content: Uint8Array, name: string): void {
  const format = kernelFormat(content.subarray(0, KERNEL_HEAD_BYTES));
  if (format.boots === "aarch64") return;
  const what = format.name === "of unknown format" ? "something of unknown format" : format.name;
  throw new KernelError(
    `${name}, but contains ${what}, not ${bootableFormat("aarch64")}`,
    "use the kernel's Image, plain or compressed with gzip",
  );
}

function truncated(name: string): KernelError {
  return new KernelError(`${name}, but truncated`, "copy it again and compare the checksums");
}

function tooLarge(name: string, hint: string | undefined): KernelError {
  const limit = `${MAX_KERNEL_BYTES / 1024 / 1024} MiB`;
  return new KernelError(`${name}, but larger than ${limit}, packed or unpacked: it is not a kernel`, hint);
}
