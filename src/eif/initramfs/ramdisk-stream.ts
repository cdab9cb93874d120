/**
 * Looks into a compressed ramdisk, as far as a bound goes. Loaded by `nitro eif` only: a launch does not unpack what
 * the kernel will unpack.
 */
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { CpioWalk } from "./cpio.ts";
import { findingOf, type PlainHead, type RamdiskFinding, type Wanted } from "./initramfs.ts";
import { gzipSize, unpackedSize } from "./unpacked-size.ts";
import { type Looked, zstdFrameEndAt } from "./zstd-frame.ts";

/** As much of what is inside is looked at; more would take longer than all the rest of a build. */
export const MOST_UNPACKED_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 64 * 1024;

/** What a ramdisk is, its names as far as they can be seen: through gzip and zstd, not through the others. */
export async function lookThrough(bytes: Looked, head: PlainHead, wanted: Wanted): Promise<RamdiskFinding> {
  const finding = findingOf(bytes, head);
  const { compression, end, walk } = head;
  if (compression !== "gzip" && compression !== "zstd") return finding;
  // Where the program is there and the size is told, there is no more to be learned.
  const sizeTold = unpackedSize(bytes, end, compression) !== undefined;
  const enough = () => sizeTold && walk.seen.has(wanted.path);
  const unpacked = await walkThrough(bytes, end, compression, walk, enough);
  const whole =
    walk.complete &&
    unpacked.ended &&
    (compression === "gzip"
      ? gzipSize(bytes) === unpacked.bytes % 2 ** 32
      : zstdFrameEndAt(bytes, end) === bytes.size);
  return { ...finding, whole, unpackedBytes: Math.max(finding.unpackedBytes, end + unpacked.bytes) };
}

async function walkThrough(
  packed: Looked,
  offset: number,
  compression: "gzip" | "zstd",
  walk: CpioWalk,
  enough: () => boolean,
): Promise<{ bytes: number; ended: boolean }> {
  const stream = compression === "gzip" ? createGunzip() : createZstdDecompress();
  let [bytes, ended, stopped] = [0, false, false];
  walk.restart();
  stream.on("data", (piece: Uint8Array) => {
    bytes += piece.length;
    if (!stopped && (walk.push(piece) < piece.length || enough())) stopped = true;
  });
  const over = new Promise<void>((resolve) => {
    for (const event of ["error", "close"]) stream.on(event, () => resolve());
    stream.on("end", () => {
      ended = true;
      resolve();
    });
  });
  for (let at = offset; at < packed.size && !ended && !stopped && bytes < MOST_UNPACKED_BYTES; ) {
    const piece = packed.at(at, PIECE_BYTES).slice();
    if (piece.length === 0) break;
    at += piece.length;
    // A stream that fails does not call back.
    const failed = await Promise.race([
      over.then(() => true),
      new Promise<boolean>((resolve) => stream.write(piece, () => resolve(false))),
    ]);
    if (failed) break;
  }
  if (bytes < MOST_UNPACKED_BYTES && !stopped) {
    stream.end();
    await over;
  }
  stream.destroy();
  return { bytes, ended: ended && !stopped };
}
