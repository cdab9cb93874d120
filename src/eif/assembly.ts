/**
 * A new EIF, written in one go: header, sections one after another, then the CRC in its place. Sections come from bytes
 * that are at hand or from files that are read piece by piece; each byte passes by once, for the CRC, the measurement
 * and the output.
 */
import { eifCrc } from "./format/crc.ts";
import {
  type Architecture,
  EIF_FLAG_AARCH64,
  EIF_MAGIC,
  EIF_MAX_SECTIONS,
  EIF_SECTION,
  EIF_VERSION,
  eifHeader,
  eifSectionHeader,
  type SectionName,
} from "./format/layout.ts";
import { type Measurement, measurement, type RunningMeasurement } from "./format/measurement.ts";
import type { InputFile } from "./input.ts";
import type { Sink } from "./output.ts";
import type { Work } from "./progress.ts";

/** A section's payload: bytes, or a whole file. */
export interface Part {
  readonly name: SectionName;
  readonly content: Uint8Array | InputFile;
}

/** What the header says of the whole image. */
export interface ImageDefaults {
  readonly architecture: Architecture;
  readonly memoryBytes: number;
  readonly cpus: number;
}

/** What came out: the image's size in bytes, its CRC, and what it measures. */
export interface Assembled extends Written {
  readonly measurement: Measurement;
}

/** What went out: bytes, and their CRC. */
export interface Written {
  readonly size: number;
  readonly crc: number;
}

/** Bytes of a part's payload. */
export function sizeOfPart({ content }: Part): number {
  return content instanceof Uint8Array ? content.length : content.size;
}

/** Bytes of the whole image. */
export function sizeOfImage(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + eifSectionHeader.size + sizeOfPart(part), eifHeader.size);
}

/** Where the CRC stands, for whoever puts it there. */
export const CRC_OFFSET = eifHeader.offsets.eif_crc32;

/** The four bytes of a CRC. */
export function crcBytes(crc: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, crc);
  return bytes;
}

/** Hands the image to `sink` from its first byte to its last, with a CRC of 0 in its header. Throws UserError. */
export function assemble(defaults: ImageDefaults, parts: readonly Part[], work: Work, sink: Sink): Assembled {
  const measured = measurement();
  const written = writeImage(defaults, parts, work, sink, 0, measured);
  return { ...written, measurement: measured.values() };
}

/** The same without a measurement. @param crc what the header says of it. Throws UserError. */
export function writeImage(
  defaults: ImageDefaults,
  parts: readonly Part[],
  work: Work,
  sink: Sink,
  crc: number,
  measured?: RunningMeasurement,
): Written {
  const running = eifCrc();
  let size = 0;
  const put = (piece: Uint8Array) => {
    running.add(piece);
    sink.write(piece);
    size += piece.length;
  };
  put(headerOf(defaults, parts, crc));
  for (const part of parts) {
    const bytes = BigInt(sizeOfPart(part));
    put(eifSectionHeader.encode({ section_type: EIF_SECTION[part.name], flags: 0, section_size: bytes }));
    measured?.begin(part.name);
    const both = (piece: Uint8Array) => {
      measured?.add(piece);
      put(piece);
    };
    if (part.content instanceof Uint8Array) both(part.content);
    else part.content.each(0, part.content.size, work, both);
  }
  return { size, crc: running.value() };
}

/** What the parts measure, without an image being made. Throws UserError. */
export function measureParts(parts: readonly Part[], work: Work): Measurement {
  const measured = measurement();
  for (const { name, content } of parts) {
    measured.begin(name);
    if (content instanceof Uint8Array) measured.add(content);
    else content.each(0, content.size, work, (piece) => measured.add(piece));
  }
  return measured.values();
}

function headerOf(defaults: ImageDefaults, parts: readonly Part[], crc: number): Uint8Array {
  const offsets: bigint[] = [];
  let offset = eifHeader.size;
  for (const part of parts) {
    offsets.push(BigInt(offset));
    offset += eifSectionHeader.size + sizeOfPart(part);
  }
  const padded = (values: readonly bigint[]) =>
    Array.from({ length: EIF_MAX_SECTIONS }, (_, i) => values[i] ?? 0n);
  return eifHeader.encode({
    magic: EIF_MAGIC,
    version: EIF_VERSION,
    flags: defaults.architecture === "aarch64" ? EIF_FLAG_AARCH64 : 0,
    default_mem: BigInt(defaults.memoryBytes),
    default_cpus: BigInt(defaults.cpus),
    reserved: 0,
    num_sections: parts.length,
    section_offsets: padded(offsets),
    section_sizes: padded(parts.map((part) => BigInt(sizeOfPart(part)))),
    unused: 0,
    eif_crc32: crc,
  });
}
