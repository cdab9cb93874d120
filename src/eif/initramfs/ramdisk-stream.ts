/**
 * Unpacks a compressed ramdisk to read its names, up to a limit. Loaded by `nitro eif` only: a launch does not unpack
 * what the kernel will unpack.
 */
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { ByteView } from "../format/bytes.ts";
import type { CpioWalk } from "./cpio.ts";
import { inspectPlain, type PlainArchives, type RamdiskInspection } from "./initramfs.ts";
import { gzipSize, unpackedSize } from "./unpacked-size.ts";
import { zstdFrameEndAt } from "./zstd-frame.ts";

/** Unpacking more would take longer than the rest of a build. */
export const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** When unpacking stops. */
export interface UnpackingEnd {
  /** The path after whose entry unpacking stops, if headers state the size and the end of the data (zstd). */
  readonly program: string;
  /** The limit of the unpacked bytes. */
  readonly maxBytes: number;
}

/** Inspects a ramdisk whose content is compressed; only gzip and zstd are unpacked. */
export async function inspectCompressed(
  bytes: ByteView,
  archives: PlainArchives,
  { program, maxBytes }: UnpackingEnd,
): Promise<RamdiskInspection> {
  const plain = inspectPlain(bytes, archives);
  const { compression, end: offset, walk } = archives;
  if (compression !== "gzip" && compression !== "zstd") return plain;
  const packed = { bytes, offset, compression };
  const frameEnd = compression === "zstd" ? zstdFrameEndAt(bytes, offset) : undefined;
  const claimed = unpackedSize(bytes, offset, compression);
  const sizeKnown = frameEnd !== undefined && claimed !== undefined;
  const enough = () => sizeKnown && walk.modes.has(program);
  const unpacked = await unpackInto(walk, packed, maxBytes, enough);
  const whole =
    compression === "gzip" ? gzipSize(bytes) === unpacked.bytes % 2 ** 32 : frameEnd === bytes.size;
  const claim = compression === "zstd" || isPlausible(unpacked, packed, claimed) ? (claimed ?? 0) : 0;
  return {
    modes: walk.modes,
    complete: walk.complete && unpacked.outcome === "ended" && whole,
    unpackedBytes: Math.max(offset + unpacked.bytes, offset + claim, bytes.size),
    damage: damageOf(packed, unpacked, frameEnd),
  };
}

/** Whether the size that a gzip file states fits the ratio of the part that was unpacked. */
function isPlausible(
  { outcome, bytes, consumed }: Unpacked,
  packed: Packed,
  claimed: number | undefined,
): boolean {
  if (outcome !== "stopped" || claimed === undefined) return false;
  const expected = (bytes / consumed) * (packed.bytes.size - packed.offset);
  return claimed > expected / 2 && claimed < expected * 2;
}

/** Returns why the ramdisk cannot be unpacked as a whole, as a predicate. @param frameEnd where the zstd frame ends. */
function damageOf(
  { compression }: Packed,
  { outcome, bytes }: Unpacked,
  frameEnd: number | undefined,
): string | undefined {
  if (outcome === "damaged")
    return `is damaged: its ${compression} data cannot be unpacked after ${bytes} bytes`;
  const truncated = outcome === "truncated" || (compression === "zstd" && frameEnd === undefined);
  if (!truncated) return undefined;
  return `is truncated: its ${compression} data ends after ${bytes} unpacked bytes`;
}

/** Compressed bytes from `offset` to the end. */
interface Packed {
  readonly bytes: ByteView;
  readonly offset: number;
  readonly compression: "gzip" | "zstd";
}

/** The result of unpackInto. `bytes` is the number of unpacked bytes. */
interface Unpacked {
  readonly bytes: number;
  /** The number of compressed bytes that were read. */
  readonly consumed: number;
  /** `stopped`: nothing is known about the rest. */
  readonly outcome: "ended" | "stopped" | "truncated" | "damaged";
}

/** Unpacks into a walk until the data end, `maxBytes`, `enough`, or something that is not an archive. */
async function unpackInto(
  walk: CpioWalk,
  { bytes: packed, offset, compression }: Packed,
  maxBytes: number,
  enough: () => boolean,
): Promise<Unpacked> {
  const stream = compression === "gzip" ? createGunzip() : createZstdDecompress();
  let [bytes, consumed, ended, walking, stopped] = [0, 0, false, true, false];
  let error: NodeJS.ErrnoException | undefined;
  walk.restart();
  stream.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
    // After an archive that cannot be read, unpacking continues, to find out whether the data is truncated.
    if (walking) walking = walk.push(chunk) === chunk.length;
    stopped ||= enough() || bytes >= maxBytes;
  });
  const over = new Promise<void>((resolve) => {
    stream.on("close", () => resolve());
    stream.on("error", (failure: NodeJS.ErrnoException) => {
      error = failure;
      resolve();
    });
    stream.on("end", () => {
      ended = true;
      resolve();
    });
  });
  while (offset + consumed < packed.size && !ended && !stopped) {
    const chunk = packed.at(offset + consumed, CHUNK_BYTES).slice();
    if (chunk.length === 0) break;
    consumed += chunk.length;
    // After an error the stream does not call the write's callback.
    const failed = await Promise.race([
      over.then(() => true),
      new Promise<boolean>((resolve) => stream.write(chunk, () => resolve(false))),
    ]);
    if (failed) break;
  }
  if (!stopped) {
    stream.end();
    await over;
  }
  stream.destroy();
  if (error !== undefined) return { bytes, consumed, outcome: faultOf(error) };
  return { bytes, consumed, outcome: ended && !stopped && walking ? "ended" : "stopped" };
}

function faultOf({ code, message }: NodeJS.ErrnoException): Unpacked["outcome"] {
  // zlib reports data that ends too early with the code of a buffer in which it makes no progress.
  if (code === "Z_BUF_ERROR") return "truncated";
  // The data after a whole gzip member is not another member. Whether it is an archive, only the kernel can tell.
  return message.includes("incorrect header check") ? "stopped" : "damaged";
}
