/**
 * Warns about ramdisks from which the kernel cannot start. It reads them in the enclave's memory: the names in plain
 * archives, and the sizes in the headers of compressed ones. It reads few entries, and unpacks
 * only to confirm a warning, so that the launch is not delayed.
 */
import type { ByteView } from "../../eif/format/bytes.ts";
import {
  initProgram,
  initramfsWarnings,
  inspectPlain,
  readPlainArchives,
} from "../../eif/initramfs/initramfs.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { MemorySize } from "../plan/memory.ts";
import type { Image } from "./image.ts";

/** Reading the names of this many entries takes some milliseconds. */
const MAX_ENTRIES = 5_000;
/** A view of a mapping has at most 4 GiB. */
const CHUNK_BYTES = 1024 ** 3;
/** The longest part of a command line that is searched; the kernel reads 2048 bytes. */
const MAX_COMMAND_LINE_BYTES = 4096;

/** Returns warnings about an image that is at `offset` of `mapping`. */
export async function ramdiskWarnings(
  image: Image,
  mapping: Mapping,
  offset: number,
  memory: MemorySize,
): Promise<string[]> {
  const commandLine = image.sections.find(({ name }) => name === "cmdline");
  const text = mapping.view(
    offset + (commandLine?.offset ?? 0),
    Math.min(commandLine?.size ?? 0, MAX_COMMAND_LINE_BYTES),
  );
  const init = initProgram(new TextDecoder().decode(text));
  const ramdisks = image.sections.filter(({ name, size }) => name === "ramdisk" && size > 0);
  const views = ramdisks.map((section) => mappingView(mapping, offset + section.offset, section.size));
  const archives = views.map((bytes) => ({
    bytes,
    plain: readPlainArchives(bytes, init.paths, MAX_ENTRIES, CHUNK_BYTES),
  }));
  const inspections = archives.map(({ bytes, plain }) => inspectPlain(bytes, plain));
  const warnings = initramfsWarnings(init, inspections, memory, image.size);
  if (warnings.length === 0 || !archives.some(({ plain }) => plain.compression === "gzip")) return warnings;
  // A truncated gzip file ends with anything but its size, so that the size must be confirmed before it is reported.
  const { inspectCompressed, MAX_UNPACKED_BYTES } = await import("../../eif/initramfs/ramdisk-stream.ts");
  const end = { program: init.path, maxBytes: Math.min(MAX_UNPACKED_BYTES, memory.bytes) };
  const unpacked = archives.map(({ bytes, plain }) => inspectCompressed(bytes, plain, end));
  return initramfsWarnings(init, await Promise.all(unpacked), memory, image.size);
}

function mappingView(mapping: Mapping, start: number, size: number): ByteView {
  return {
    size,
    at(offset, length) {
      const from = Math.max(0, Math.min(offset, size));
      return mapping.view(start + from, Math.min(length, size - from));
    },
  };
}
