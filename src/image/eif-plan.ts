/**
 * What an EIF made of a kernel, a command line and a ramdisk will be, before a byte of it is read: the header,
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
} from "./eif-layout.ts";

/** One run of the image's bytes, in file order: bytes that are known, or a file that is read. */
export type Piece =
  | { readonly offset: number; readonly bytes: Uint8Array }
  | { readonly offset: number; readonly file: "kernel" | "initrd"; readonly size: number };

/** The whole image: its size in bytes, and its pieces without a gap, the header first with a CRC of 0. */
export interface EifPlan {
  readonly size: number;
  readonly pieces: readonly Piece[];
}

/** What goes in; sizes in bytes, an initrd of 0 bytes where there is none. */
export interface EifInput {
  readonly architecture: Architecture;
  readonly kernelSize: number;
  readonly initrdSize: number;
  readonly commandLine: string;
}

/** Lays the image out. */
export function planEif(input: EifInput): EifPlan {
  const text = new TextEncoder();
  const sections: [SectionName, Uint8Array | { file: "kernel" | "initrd"; size: number }][] = [
    ["kernel", { file: "kernel", size: input.kernelSize }],
    ["cmdline", text.encode(input.commandLine)],
    ["ramdisk", { file: "initrd", size: input.initrdSize }],
    ["metadata", text.encode("{}")],
  ];
  const pieces: Piece[] = [];
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
    if (content instanceof Uint8Array) pieces.push({ offset, bytes: content });
    else pieces.push({ offset, file: content.file, size });
    offset += size;
  }
  const header = encodeHeader(input.architecture, offsets, sizes);
  return { size: offset, pieces: [{ offset: 0, bytes: header }, ...pieces] };
}

function encodeHeader(architecture: Architecture, offsets: bigint[], sizes: bigint[]): Uint8Array {
  const padded = (values: bigint[]) => Array.from({ length: EIF_MAX_SECTIONS }, (_, i) => values[i] ?? 0n);
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
