/**
 * Reads an EIF's header and section headers, and checks them by the rules of AWS's specification and no stricter ones.
 * Nothing in the file is trusted: every offset and size is compared with the file's own size before it is used.
 */
import type { ByteSource } from "./bytes.ts";
import {
  type Architecture,
  EIF_FLAG_AARCH64,
  EIF_MAGIC,
  EIF_MAX_SECTIONS,
  EIF_METADATA_MAX_BYTES,
  EIF_METADATA_SINCE,
  EIF_SECTION,
  EIF_SIGNATURE_MAX_BYTES,
  EIF_SIGNATURE_SINCE,
  EIF_VERSIONS,
  eifHeader,
  eifSectionHeader,
  type SectionName,
} from "./layout.ts";

/** A section of a file. */
export interface EifSection {
  readonly name: SectionName;
  /** Offset of the payload, in bytes. */
  readonly offset: number;
  /** Size of the payload, in bytes. */
  readonly size: number;
}

/** The checked headers of an EIF. */
export interface EifHeader {
  readonly version: number;
  readonly architecture: Architecture;
  /** 0: the image proposes none. */
  readonly defaultMemoryBytes: bigint;
  /** 0: the image proposes none. */
  readonly defaultCpus: bigint;
  /** In file order. */
  readonly sections: readonly EifSection[];
  readonly crc: number;
}

/** An image violates a rule; the message names the rule, the section, byte offsets and sizes. */
export class EifError extends Error {
  override readonly name = "EifError";
}

/** Whether a file that starts with these bytes is an EIF. */
export function isEif(head: Uint8Array): boolean {
  return head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0) === EIF_MAGIC;
}

/** The fields of the file's header, unchecked. */
export type EifHeaderFieldsRead = ReturnType<typeof eifHeader.decode>;

/** Reads the header and every section header. The CRC is not checked. Throws EifError. */
export function readEif(file: ByteSource): EifHeader {
  const header = readHeaderFields(file);
  throwFirst(brokenHeaderRules(header));
  const sections: EifSection[] = [];
  let end = eifHeader.size;
  for (let index = 0; index < header.num_sections; index++) {
    const entry = { offset: header.section_offsets[index] ?? 0n, size: header.section_sizes[index] ?? 0n };
    const section = readSection(file, index, entry, end);
    sections.push(section);
    end = section.offset + section.size;
  }
  throwFirst(brokenSectionRules(sections, header.version));
  return eifHeaderOf(header, sections);
}

/** Reads the fields of the file's header. Throws EifError if it is truncated or has another magic number. */
export function readHeaderFields(file: ByteSource): EifHeaderFieldsRead {
  const header = eifHeader.decode(readExactly(file, 0, eifHeader.size, "the header"));
  if (header.magic !== EIF_MAGIC) throw new EifError("the file does not start with the magic number .eif");
  return header;
}

/** Returns what an image's header and sections say, without checking them. */
export function eifHeaderOf(header: EifHeaderFieldsRead, sections: readonly EifSection[]): EifHeader {
  return {
    version: header.version,
    architecture: (header.flags & EIF_FLAG_AARCH64) !== 0 ? "aarch64" : "x86_64",
    defaultMemoryBytes: header.default_mem,
    defaultCpus: header.default_cpus,
    sections,
    crc: header.eif_crc32,
  };
}

function throwFirst([first]: readonly string[]): void {
  if (first !== undefined) throw new EifError(first);
}

/** Returns the rules that the header's own fields violate. */
export function brokenHeaderRules({ version, num_sections: count }: EifHeaderFieldsRead): string[] {
  const broken: string[] = [];
  const { min, max } = EIF_VERSIONS;
  if (version < min || version > max) {
    const at = eifHeader.offsets.version;
    broken.push(`version ${version} (byte ${at}) is not supported; supported are ${min} to ${max}`);
  }
  if (count < 2 || count > EIF_MAX_SECTIONS) {
    const at = eifHeader.offsets.num_sections;
    broken.push(`the header lists ${count} sections (byte ${at}); an EIF has 2 to ${EIF_MAX_SECTIONS}`);
  }
  return broken;
}

/** How messages name a section: `section 3 (metadata, type 5) at byte 1066133`, where its header starts. */
export function sectionText(sections: readonly EifSection[], section: EifSection): string {
  const { name, offset } = section;
  const index = sections.indexOf(section);
  return `section ${index} (${name}, type ${EIF_SECTION[name]}) at byte ${offset - eifSectionHeader.size}`;
}

/**
 * Reads a section's payload as a whole.
 * Throws EifError if it is larger than `maxBytes`. Returns undefined if the file ends within it.
 */
export function readPayload(file: ByteSource, section: EifSection, maxBytes: number): Uint8Array | undefined {
  if (section.size > maxBytes) {
    throw new EifError(
      `the ${section.name} at byte ${section.offset} has ${section.size} bytes; at most ${maxBytes} are read`,
    );
  }
  const bytes = new Uint8Array(section.size);
  return file.read(bytes, section.offset) === section.size ? bytes : undefined;
}

function readExactly(file: ByteSource, offset: number, size: number, what: string): Uint8Array {
  const bytes = new Uint8Array(size);
  if (offset + size > file.size || file.read(bytes, offset) !== size) {
    throw new EifError(
      `${what} (${size} bytes from byte ${offset}) extends past the end of the file (${file.size} bytes)`,
    );
  }
  return bytes;
}

/** Returns the section of a type; undefined for an unknown type. */
export function sectionName(type: number): SectionName | undefined {
  return (Object.keys(EIF_SECTION) as SectionName[]).find((name) => EIF_SECTION[name] === type);
}

/** @param entry the file header's values for the section. @param end where the data before it ends. */
function readSection(
  file: ByteSource,
  index: number,
  entry: { readonly offset: bigint; readonly size: bigint },
  end: number,
): EifSection {
  const where = `section ${index}`;
  const field = eifHeader.offsets.section_offsets + 8 * index;
  const starts = `${where} starts at byte ${entry.offset} (field at byte ${field})`;
  if (entry.offset < BigInt(end)) throw new EifError(`${starts}, but the data before it ends at byte ${end}`);
  if (entry.offset + BigInt(eifSectionHeader.size) > BigInt(file.size)) {
    throw new EifError(`${starts}, but the file has ${file.size} bytes`);
  }
  const start = Number(entry.offset);
  const header = eifSectionHeader.decode(readExactly(file, start, eifSectionHeader.size, where));
  const name = sectionName(header.section_type);
  if (name === undefined)
    throw new EifError(`${where} at byte ${start} has unknown type ${header.section_type}`);
  const typed = `${where} (${name}, type ${header.section_type}) at byte ${start}`;
  // AWS's signer does not update the file header's size when it signs again: for a signature the section's own counts.
  if (header.section_size !== entry.size && name !== "signature") {
    throw new EifError(
      `${typed} has ${header.section_size} bytes by its own header, ${entry.size} by the file header`,
    );
  }
  const offset = start + eifSectionHeader.size;
  if (header.section_size > BigInt(file.size - offset)) {
    throw new EifError(
      `${typed}: its ${header.section_size} bytes from byte ${offset} extend past the end of the file ` +
        `(${file.size} bytes)`,
    );
  }
  return { name, offset, size: Number(header.section_size) };
}

/** The first version that allows a section, where that is not the first of all. */
const SINCE = {
  kernel: 0,
  cmdline: 0,
  signature: EIF_SIGNATURE_SINCE,
  metadata: EIF_METADATA_SINCE,
} as const;

/** Returns the rules that the sections violate: which there are, how many, in which order, and their sizes. */
export function brokenSectionRules(sections: readonly EifSection[], version: number): string[] {
  const broken: string[] = [];
  const all = (name: SectionName) => sections.filter((section) => section.name === name);
  const text = (section: EifSection) => sectionText(sections, section);
  for (const name of ["kernel", "cmdline", "signature", "metadata"] as const) {
    const [first, second] = all(name);
    if (second !== undefined)
      broken.push(`${text(second)} is a second ${name} section; an EIF has at most one`);
    const needed = name === "metadata" ? version >= EIF_METADATA_SINCE : name !== "signature";
    if (first === undefined && needed) {
      broken.push(
        `none of the ${sections.length} sections is a ${name} (type ${EIF_SECTION[name]}); ` +
          `an EIF of version ${version} must have one`,
      );
    }
    if (first !== undefined && version < SINCE[name])
      broken.push(`${text(first)} requires version ${SINCE[name]}; the image has version ${version}`);
  }
  const kernel = sections.findIndex(({ name }) => name === "kernel");
  const early = sections.slice(0, Math.max(kernel, 0)).find(({ name }) => name === "ramdisk");
  const found = sections[kernel];
  if (early !== undefined && found !== undefined)
    broken.push(`${text(early)} precedes the kernel, which is ${text(found)}`);
  for (const [name, maxBytes] of LIMITS) {
    const [section] = all(name);
    if (section !== undefined && section.size > maxBytes)
      broken.push(`${text(section)} has ${section.size} bytes; at most ${maxBytes} are allowed`);
  }
  return broken;
}

const LIMITS = [
  ["signature", EIF_SIGNATURE_MAX_BYTES],
  ["metadata", EIF_METADATA_MAX_BYTES],
] as const;
