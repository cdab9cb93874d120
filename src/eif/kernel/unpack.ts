/**
 * Takes the flat arm64 Image out of what distributions ship: the Image compressed with gzip, or an EFI zboot image
 * (drivers/firmware/efi/libstub/zboot-header.S), which holds one compressed. Loaded where such a kernel is met, and
 * nowhere else.
 */
import { constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import type { ImageBytes } from "../format/reader.ts";
import { ZSTD_HEADER_BYTES, zstdFrameEnd, zstdHeader } from "../initramfs/zstd-frame.ts";
import { bootableFormat, KERNEL_HEAD_BYTES, KernelError, kernelFormat } from "./format.ts";

/** No kernel is longer, packed or not, and no file may take more of the machine's memory than this. */
export const MOST_KERNEL_BYTES = 256 * 1024 * 1024;

/** The zboot header, little-endian: `zimg` at 4, then where the payload is and how long; at 24 its compression. */
const ZBOOT = { payloadOffset: 8, payloadSize: 12, compression: 24, end: 0x38 } as const;

/** A gzip file's header and trailer (RFC 1952, 2.3). */
const LEAST_GZIP_BYTES = 18;
/** As much of a compressed file as gives the first bytes of what is inside. */
const PROBE_BYTES = 16 * 1024;

/**
 * The flat Image that is in a file.
 * @param path for the command in a hint. Throws KernelError: the file is cut short, damaged, too long, or holds
 * something else.
 */
export function unpackKernel(file: ImageBytes, form: "gzip" | "zboot", path: string): Uint8Array {
  const { bytes, method, name } = form === "gzip" ? gzipped(file, path) : zbootPayload(file);
  const kernel = method === "gzip" ? inflated(bytes, name) : unzstd(bytes, name);
  checkInside(kernel, name);
  return kernel;
}

/** Compressed bytes, and how messages name what they are from. */
interface Packed {
  readonly bytes: Uint8Array;
  readonly method: "gzip" | "zstd";
  readonly name: string;
}

function gzipped(file: ImageBytes, path: string): Packed {
  const name = "it is compressed with gzip";
  if (file.size > MOST_KERNEL_BYTES) throw tooLong(name, `gzip -dc ${path} > Image, if that is inside`);
  return { bytes: piece(file, 0, file.size, name), method: "gzip", name };
}

function zbootPayload(file: ImageBytes): Packed {
  const name = "it is an EFI zboot image";
  const header = piece(file, 0, ZBOOT.end, name);
  const view = new DataView(header.buffer);
  const offset = view.getUint32(ZBOOT.payloadOffset, true);
  const size = view.getUint32(ZBOOT.payloadSize, true);
  const method = textOf(header.subarray(ZBOOT.compression, ZBOOT.end));
  if (method !== "gzip" && method !== "zstd") {
    throw new KernelError(
      `${name} whose payload is compressed with ${method}; nitro unpacks gzip and zstd`,
      "build the kernel with CONFIG_KERNEL_GZIP or CONFIG_KERNEL_ZSTD, or use its arch/arm64/boot/Image",
    );
  }
  if (offset < ZBOOT.end || offset + size > file.size) {
    throw new KernelError(
      `${name} whose payload has ${size} bytes from byte ${offset}; the file has ${file.size} bytes`,
      "copy it again and compare the checksums",
    );
  }
  if (size > MOST_KERNEL_BYTES) throw tooLong(name, undefined);
  return { bytes: piece(file, offset, size, name), method, name: `${name}, whose payload is ${method}` };
}

/** The text of a field that NUL bytes fill up; what cannot be printed is told as `?`. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  const bytes = field.subarray(0, end === -1 ? field.length : end);
  return Array.from(bytes, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?")).join("");
}

function piece(file: ImageBytes, offset: number, size: number, name: string): Uint8Array {
  const bytes = new Uint8Array(size);
  if (offset + size > file.size || file.read(bytes, offset) !== size) throw cutShort(name);
  return bytes;
}

function inflated(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length < LEAST_GZIP_BYTES) throw cutShort(name);
  // What else is in it is told before all of it is unpacked.
  const probe = unpacking(name, () =>
    gunzipSync(bytes.subarray(0, PROBE_BYTES), { finishFlush: constants.Z_SYNC_FLUSH }),
  );
  if (bytes.length > PROBE_BYTES) checkInside(probe, name);
  // The last four bytes are the content's size modulo 2^32 (RFC 1952, 2.3.1).
  const claimed = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4, true);
  return unpacking(name, () =>
    gunzipSync(bytes, { maxOutputLength: MOST_KERNEL_BYTES, ...inOnePiece(claimed) }),
  );
}

function unzstd(bytes: Uint8Array, name: string): Uint8Array {
  const end = zstdFrameEnd(bytes);
  if (end === undefined) throw cutShort(name);
  const claimed = zstdHeader(bytes.subarray(0, ZSTD_HEADER_BYTES))?.contentBytes ?? 0;
  const frame = bytes.subarray(0, end);
  return unpacking(name, () =>
    zstdDecompressSync(frame, { maxOutputLength: MOST_KERNEL_BYTES, ...inOnePiece(claimed) }),
  );
}

/** A buffer of the size that is claimed: where it is true, the content needs no second one. */
function inOnePiece(claimed: number): { chunkSize: number } {
  return { chunkSize: claimed > MOST_KERNEL_BYTES ? 1024 * 1024 : Math.max(claimed, 64 * 1024) };
}

function unpacking(name: string, unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLong(name, undefined);
    if (code === "Z_BUF_ERROR") throw cutShort(name);
    if (typeof code === "string" && /^Z(STD)?_/.test(code)) {
      throw new KernelError(`${name} and damaged: ${message}`, "copy it again and compare the checksums");
    }
    throw error;
  }
}

function checkInside(content: Uint8Array, name: string): void {
  const inside = kernelFormat(content.subarray(0, KERNEL_HEAD_BYTES));
  if (inside.boots === "aarch64") return;
  const what = inside.name === "of no known format" ? "something of no known format" : inside.name;
  throw new KernelError(
    `${name}, and inside is ${what}, not ${bootableFormat("aarch64")}`,
    "give the kernel's Image, as it is or compressed with gzip",
  );
}

function cutShort(name: string): KernelError {
  return new KernelError(`${name}, and cut short`, "copy it again and compare the checksums");
}

function tooLong(name: string, hint: string | undefined): KernelError {
  const most = `${MOST_KERNEL_BYTES / 1024 / 1024} MiB`;
  return new KernelError(`${name}, and has more than ${most}, packed or unpacked: that is no kernel`, hint);
}
