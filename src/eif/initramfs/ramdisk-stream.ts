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
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/**
 * Inspects a ramdisk whose content is compressed; only gzip and zstd are unpacked.
 * @param program the path after which unpacking stops if the size is known from a header.
 */
export async function inspectCompressed(
  bytes: ByteView,
  archives: PlainArchives,
  program: string,
): Promise<RamdiskInspection> {
  const plain = inspectPlain(bytes, archives);
  const { compression, end, walk } = archives;
  if (compression !== "gzip" && compression !== "zstd") return plain;
  const sizeKnown = unpackedSize(bytes, end, compression) !== undefined;
  const enough = () => sizeKnown && walk.modes.has(program);
  const unpacked = await unpackInto(walk, { bytes, offset: end, compression }, enough);
  const complete =
    walk.complete &&
    unpacked.ended &&
    (compression === "gzip"
      ? gzipSize(bytes) === unpacked.bytes % 2 ** 32
      : zstdFrameEndAt(bytes, end) === bytes.size);
  return { ...plain, complete, unpackedBytes: Math.max(plain.unpackedBytes, end + unpacked.bytes) };
}

/** Compressed bytes from `offset` to the end. */
interface Packed {
  readonly bytes: ByteView;
  readonly offset: number;
  readonly compression: "gzip" | "zstd";
}

/**
 * Unpacks into a walk until it ends or `enough` is true. Returns the number of unpacked bytes, and whether it is all.
 */
async function unpackInto(
  walk: CpioWalk,
  { bytes: packed, offset, compression }: Packed,
  enough: () => boolean,
): Promise<{ bytes: number; ended: boolean }> {
  const stream = compression === "gzip" ? createGunzip() : createZstdDecompress();
  let [bytes, ended, stopped] = [0, false, false];
  walk.restart();
  stream.on("data", (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (!stopped && (walk.push(chunk) < chunk.length || enough())) stopped = true;
  });
  const over = new Promise<void>((resolve) => {
    for (const event of ["error", "close"]) stream.on(event, () => resolve());
    stream.on("end", () => {
      ended = true;
      resolve();
    });
  });
  for (let at = offset; at < packed.size && !ended && !stopped && bytes < MAX_UNPACKED_BYTES; ) {
    const chunk = packed.at(at, CHUNK_BYTES).slice();
    if (chunk.length === 0) break;
    at += chunk.length;
    // After an error the stream does not call the write's callback.
    const failed = await Promise.race([
      over.then(() => true),
      new Promise<boolean>((resolve) => stream.write(chunk, () => resolve(false))),
    ]);
    if (failed) break;
  }
  if (bytes < MAX_UNPACKED_BYTES && !stopped) {
    stream.end();
    await over;
  }
  stream.destroy();
  return { bytes, ended: ended && !stopped };
}
