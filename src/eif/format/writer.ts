/**
 * Writes EIF headers: the layout of a new image, whose payloads are bytes or files that are read later, and the header
 * of an image whose signature section is replaced.
 */
import { CRC_OFFSET, encodeCrc } from "./crc.ts";
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
import type { EifSection } from "./reader.ts";

/** A payload: bytes, or something of known size that supplies them later. */
export type Content<F> = Uint8Array | F;

/** A section to be written. */
export interface SectionContent<F> {
  readonly name: SectionName;
  readonly content: Content<F>;
}

/** What a new image's header says apart from its sections. */
export interface EifHeaderFields {
  readonly architecture: Architecture;
  /** 0: the image proposes none. */
  readonly memoryBytes: number;
  /** 0: the image proposes none. */
  readonly cpus: number;
}

/** A contiguous range of the file. */
export interface EifExtent<F> {
  readonly offset: number;
  readonly content: Content<F>;
  /** The section of which this is the payload; undefined for a header. */
  readonly section: SectionName | undefined;
}

/** The layout of a whole image. */
export interface EifPlan<F> {
  /** In bytes. */
  readonly size: number;
  /** In file order and without gaps; the first is the header with a CRC of 0. */
  readonly extents: readonly EifExtent<F>[];
  readonly sections: readonly EifSection[];
}

/** The number of ramdisks that fit next to kernel, command line and metadata. */
export const MAX_RAMDISKS = EIF_MAX_SECTIONS - 3;

/** Returns the size of a payload in bytes. */
export function contentSize<F extends { readonly size: number }>(content: Content<F>): number {
  return content instanceof Uint8Array ? content.length : content.size;
}

/** Lays out an image of version 4: its sections follow each other without gaps. */
export function planEif<F extends { readonly size: number }>(
  fields: EifHeaderFields,
  contents: readonly SectionContent<F>[],
): EifPlan<F> {
  const extents: EifExtent<F>[] = [];
  const sections: EifSection[] = [];
  let offset = eifHeader.size;
  for (const { name, content } of contents) {
    const size = contentSize(content);
    extents.push({ offset, content: encodeSectionHeader(name, size), section: undefined });
    offset += eifSectionHeader.size;
    extents.push({ offset, content, section: name });
    sections.push({ name, offset, size });
    offset += size;
  }
  const header = encodeHeader(fields, sections);
  return {
    size: offset,
    extents: [{ offset: 0, content: header, section: undefined }, ...extents],
    sections,
  };
}

/** Encodes the header before a section's payload of `size` bytes. */
export function encodeSectionHeader(name: SectionName, size: number): Uint8Array {
  return eifSectionHeader.encode({ section_type: EIF_SECTION[name], flags: 0, section_size: BigInt(size) });
}

function encodeHeader(fields: EifHeaderFields, sections: readonly EifSection[]): Uint8Array {
  const column = (value: (section: EifSection) => number) => {
    const unused = new Array<bigint>(EIF_MAX_SECTIONS - sections.length).fill(0n);
    return [...sections.map((section) => BigInt(value(section))), ...unused];
  };
  return eifHeader.encode({
    magic: EIF_MAGIC,
    version: EIF_VERSION,
    flags: fields.architecture === "aarch64" ? EIF_FLAG_AARCH64 : 0,
    default_mem: BigInt(fields.memoryBytes),
    default_cpus: BigInt(fields.cpus),
    reserved: 0,
    num_sections: sections.length,
    section_offsets: column(({ offset }) => offset - eifSectionHeader.size),
    section_sizes: column(({ size }) => size),
    unused: 0,
    eif_crc32: 0,
  });
}

/** Returns the same plan with `crc` in its header, for output that cannot be rewritten later. */
export function planWithCrc<F>(plan: EifPlan<F>, crc: number): EifPlan<F> {
  const [header, ...rest] = plan.extents;
  if (!(header?.content instanceof Uint8Array)) throw new RangeError("the plan has no header");
  const content = header.content.slice();
  content.set(encodeCrc(crc), CRC_OFFSET);
  return { ...plan, extents: [{ ...header, content }, ...rest] };
}

/** The bytes of a file that a section with its header replaces, and the section's index. */
export interface SectionPlace {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Returns a file's header with one section, of `size` bytes, added or replaced; nothing else in it changes.
 * @param place its index may be the number of sections: the section is added. @param crc the new file's.
 */
export function replaceSection(
  header: Uint8Array,
  place: SectionPlace,
  size: number,
  crc: number,
): Uint8Array {
  const old = eifHeader.decode(header);
  const added = place.index === old.num_sections;
  const growth = BigInt(eifSectionHeader.size + size - (place.end - place.start));
  return eifHeader.encode({
    ...old,
    num_sections: old.num_sections + (added ? 1 : 0),
    section_offsets: old.section_offsets.map((offset, i) => {
      if (i === place.index) return BigInt(place.start);
      return i > place.index && i < old.num_sections ? offset + growth : offset;
    }),
    section_sizes: old.section_sizes.map((bytes, i) => (i === place.index ? BigInt(size) : bytes)),
    eif_crc32: crc,
  });
}
