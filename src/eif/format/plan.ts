/**
 * What an EIF made of a kernel, a command line and ramdisks will be, before a byte of it is read: the header,
 * and for each piece where it stands. The same inputs give the same file as QEMU 11.1's launch, byte for byte:
 * version 4, sections kernel, cmdline, ramdisk, metadata one after another, metadata `{}`, no defaults.
 */
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
} from "./layout.ts";
import type { Section } from "./reader.ts";

/** A file that goes into the image: the kernel, or the ramdisk of this number. */
export type FileName = "kernel" | number;

/** One run of the image's bytes, in file order: bytes that are known, or a file that is read. */
export type Piece =
  | { readonly offset: number; readonly bytes: Uint8Array }
  | { readonly offset: number; readonly file: FileName; readonly size: number };

/** The whole image: its size in bytes, and its pieces without a gap, the header first with a CRC of 0. */
export interface EifPlan {
  readonly size: number;
  readonly pieces: readonly Piece[];
  readonly sections: readonly Section[];
}

/** What goes in; sizes in bytes. */
export interface EifInput {
  readonly architecture: Architecture;
  readonly kernelSize: number;
  /** Of each ramdisk, in order. Where there is none, the image has an empty section in its place, as QEMU's has. */
  readonly ramdiskSizes: readonly number[];
  readonly commandLine: string;
}

/** The most ramdisks that an image has room for beside kernel, command line and metadata. */
export const MOST_RAMDISKS = EIF_MAX_SECTIONS - 3;

type SectionContent = [SectionName, Uint8Array | { readonly file: FileName; readonly size: number }];

/** Lays the image out. @param input has at most MOST_RAMDISKS ramdisks. */
export function planEif(input: EifInput): EifPlan {
  const text = new TextEncoder();
  const ramdisks: SectionContent[] = input.ramdiskSizes.map((size, file) => ["ramdisk", { file, size }]);
  if (ramdisks.length === 0) ramdisks.push(["ramdisk", new Uint8Array(0)]);
  const sections: SectionContent[] = [
    ["kernel", { file: "kernel", size: input.kernelSize }],
    ["cmdline", text.encode(input.commandLine)],
    ...ramdisks,
    ["metadata", text.encode("{}")],
  ];
  const pieces: Piece[] = [];
  const places: Section[] = [];
  const offsets: bigint[] = [];
  const sizes: bigint[] = [];
  let offset = eifHeader.size;
  for (const [name, content] of sections) {
    const size = content instanceof Uint8Array ? content.length : content.size;
    offsets.push(BigInt(offset));
    sizes.push(BigInt(size));
    const header = { section_type: EIF_SECTION[name], flags: 0, section_size: BigInt(size) };
    pieces.push({ offset, bytes: eifSectionHeader.encode(header) });
    offset += eifSectionHeader.size;
    places.push({ name, offset, size });
    if (content instanceof Uint8Array) pieces.push({ offset, bytes: content });
    else pieces.push({ offset, file: content.file, size });
    offset += size;
  }
  const header = encodeHeader(input.architecture, offsets, sizes);
  return { size: offset, pieces: [{ offset: 0, bytes: header }, ...pieces], sections: places };
}

function encodeHeader(architecture: Architecture, offsets: bigint[], sizes: bigint[]): Uint8Array {
  const padded = (values: bigint[]) => [
    ...values,
    ...new Array<bigint>(EIF_MAX_SECTIONS - values.length).fill(0n),
  ];
  return eifHeader.encode({
    magic: EIF_MAGIC,
    version: EIF_VERSION,
    flags: architecture === "aarch64" ? EIF_FLAG_AARCH64 : 0,
    default_mem: 0n,
    default_cpus: 0n,
    reserved: 0,
    num_sections: offsets.length,
    section_offsets: padded(offsets),
    section_sizes: padded(sizes),
    unused: 0,
    eif_crc32: 0,
  });
}
