/**
 * Warnings of `eif build` and `eif describe` about ramdisks, which are read from files and unpacked as far as needed.
 */
import { type ByteView, bufferedView } from "../format/bytes.ts";
import type { InputFile } from "../input-file.ts";
import {
  type InitProgram,
  initProgram,
  initramfsWarnings,
  inspectPlain,
  type MemoryLimit,
  type RamdiskInspection,
  readPlainArchives,
} from "./initramfs.ts";

/** A ramdisk in a file: the whole file, or a section of an image. */
export interface RamdiskRange {
  readonly file: InputFile;
  /** In bytes. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
}

const CHUNK_BYTES = 64 * 1024;
/** More files and directories than any initramfs has. */
const MAX_ENTRIES = 2_000_000;

/** Inspects the ramdisks, in their order. Returns warnings. Throws UserError if a file cannot be read. */
export async function fileRamdiskWarnings(
  ramdisks: readonly RamdiskRange[],
  commandLine: string,
  memory: MemoryLimit,
  imageBytes: number,
): Promise<string[]> {
  const init = initProgram(commandLine);
  const inspections: RamdiskInspection[] = [];
  for (const ramdisk of ramdisks) {
    if (ramdisk.size === 0) continue;
    inspections.push(await inspect(bufferedView(ramdisk.file, ramdisk, CHUNK_BYTES), init));
  }
  return initramfsWarnings(init, inspections, memory, imageBytes);
}

async function inspect(bytes: ByteView, init: InitProgram): Promise<RamdiskInspection> {
  const archives = readPlainArchives(bytes, init.paths, MAX_ENTRIES, CHUNK_BYTES);
  if (archives.compression === undefined) return inspectPlain(bytes, archives);
  const { inspectCompressed, MAX_UNPACKED_BYTES } = await import("./ramdisk-stream.ts");
  return inspectCompressed(bytes, archives, { program: init.path, maxBytes: MAX_UNPACKED_BYTES });
}
