/**
 * Checks an EIF by the rules of AWS's specification and no stricter ones. Nothing in the file is taken on trust:
 * every offset and size is compared with the file's own length before it is used.
 */
import { eifCrc } from "./crc.ts";
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

/** A file's bytes, wherever they are: `read` fills `into` from `offset` and gives how many bytes there were. */
export interface ImageBytes {
  readonly size: number;
  read(into: Uint8Array, offset: number): number;
}

/** A section as it stands in the file; `offset` is that of the payload, both in bytes. */
export interface Section {
  readonly name: SectionName;
  readonly offset: number;
  readonly size: number;
}

/** What a checked EIF says of itself. */
export interface Eif {
  readonly version: number;
  readonly architecture: Architecture;
  readonly sections: readonly Section[];
  readonly crc: number;
}

/** An image that breaks a rule: which, where (section and byte offset), with the numbers. */
export class EifError extends Error {
  override readonly name = "EifError";
}

/** Whether these first bytes of a file are those of an EIF. */
export function isEif(head: Uint8Array): boolean {
  return head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0) === EIF_MAGIC;
}

/**
 * Reads the header and every section header. The CRC is not taken: see checkCrc.
 * Throws EifError, naming the section and the byte offset.
 */
export function readEif(image: ImageBytes): Eif {
  const bytes = readExactly(image, 0, eifHeader.size, "the header");
  const header = eifHeader.decode(bytes);
  if (header.magic !== EIF_MAGIC) throw new EifError("it does not begin with .eif");
  if (header.version < EIF_VERSIONS.least || header.version > EIF_VERSIONS.most) {
    throw new EifError(
      `version ${header.version} at byte ${eifHeader.offsets.version}; versions 2 to 4 are known`,
    );
  }
  if (header.num_sections < 2 || header.num_sections > EIF_MAX_SECTIONS) {
    throw new EifError(
      `${header.num_sections} sections at byte ${eifHeader.offsets.num_sections}; an image has 2 to 32`,
    );
  }
  const sections: Section[] = [];
  let end = eifHeader.size;
  for (let i = 0; i < header.num_sections; i++) {
    const section = readSection(
      image,
      i,
      header.section_offsets[i] ?? 0n,
      header.section_sizes[i] ?? 0n,
      end,
    );
    sections.push(section);
    end = section.offset + section.size;
  }
  checkSections(sections, header.version);
  return {
    version: header.version,
    architecture: (header.flags & EIF_FLAG_AARCH64) !== 0 ? "aarch64" : "x86_64",
    sections,
    crc: header.eif_crc32,
  };
}

/**
 * Reads the whole image through one buffer of 1 MiB and compares the CRC with the header's.
 * @param between called after each piece, to stop early by throwing. Throws EifError.
 */
export function checkCrc(
  image: ImageBytes,
  expected: number,
  between: (bytes: number) => void = () => {},
): void {
  const buffer = new Uint8Array(1024 * 1024);
  const crc = eifCrc();
  for (let offset = 0; offset < image.size; ) {
    const got = image.read(buffer, offset);
    if (got === 0) throw new EifError(`the file ended at byte ${offset}; it had ${image.size} bytes before`);
    crc.add(buffer.subarray(0, Math.min(got, image.size - offset)));
    offset += got;
    between(got);
  }
  if (crc.value() !== expected) {
    throw new EifError(
      `its CRC-32 is ${hex32(crc.value())}, the header says ${hex32(expected)} at byte ` +
        `${eifHeader.offsets.eif_crc32}; the file is damaged`,
    );
  }
}

/** Eight hexadecimal digits. */
export function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

function readExactly(image: ImageBytes, offset: number, size: number, what: string): Uint8Array {
  const bytes = new Uint8Array(size);
  if (offset + size > image.size || image.read(bytes, offset) !== size) {
    throw new EifError(`${what} needs ${size} bytes from byte ${offset}, the file has ${image.size} bytes`);
  }
  return bytes;
}

function sectionName(type: number): SectionName | undefined {
  return (Object.keys(EIF_SECTION) as SectionName[]).find((name) => EIF_SECTION[name] === type);
}

function readSection(image: ImageBytes, index: number, at: bigint, size: bigint, end: number): Section {
  const where = `section ${index}`;
  const entry = eifHeader.offsets.section_offsets + 8 * index;
  if (at < BigInt(end)) {
    throw new EifError(
      `${where} begins at byte ${at} (so the header at byte ${entry}), before byte ${end}, where what precedes it ends`,
    );
  }
  if (at + BigInt(eifSectionHeader.size) > BigInt(image.size)) {
    throw new EifError(
      `${where} begins at byte ${at} (so the header at byte ${entry}), the file has ${image.size} bytes`,
    );
  }
  const offset = Number(at);
  const header = eifSectionHeader.decode(readExactly(image, offset, eifSectionHeader.size, where));
  const name = sectionName(header.section_type);
  if (name === undefined)
    throw new EifError(`${where} at byte ${at} has the unknown type ${header.section_type}`);
  const typed = `${where} (${name}, type ${header.section_type})`;
  // AWS's signer leaves the header's size as it was when it signs anew: there the section's own size counts.
  if (header.section_size !== size && name !== "signature") {
    throw new EifError(`${typed} at byte ${at} says ${header.section_size} bytes, the header says ${size}`);
  }
  const payload = offset + eifSectionHeader.size;
  if (header.section_size > BigInt(image.size - payload)) {
    throw new EifError(
      `${typed} has ${header.section_size} bytes from byte ${payload}, the file has ${image.size} bytes`,
    );
  }
  return { name, offset: payload, size: Number(header.section_size) };
}

/** How messages name a section: its number, its type in both ways, the byte where its header stands. */
function named(sections: readonly Section[], index: number): string {
  const { name, offset } = sections[index] ?? { name: "kernel", offset: eifSectionHeader.size };
  return `section ${index} (${name}, type ${EIF_SECTION[name]}) at byte ${offset - eifSectionHeader.size}`;
}

/** Which sections there may be, how many, in which order and how long. */
function checkSections(sections: readonly Section[], version: number): void {
  const all = (name: SectionName) => sections.flatMap((section, i) => (section.name === name ? [i] : []));
  for (const name of ["kernel", "cmdline", "signature", "metadata"] as const) {
    const [first, second] = all(name);
    if (second !== undefined) {
      throw new EifError(`${named(sections, second)} is a second one; an image has one ${name}`);
    }
    const needed = name === "metadata" ? version >= EIF_METADATA_SINCE : name !== "signature";
    if (first === undefined && needed) {
      throw new EifError(
        `it has no ${name} (type ${EIF_SECTION[name]}) among its ${sections.length} sections, ` +
          `as an image of version ${version} must`,
      );
    }
    const since = { signature: EIF_SIGNATURE_SINCE, metadata: EIF_METADATA_SINCE, kernel: 0, cmdline: 0 }[
      name
    ];
    if (first !== undefined && version < since) {
      throw new EifError(`${named(sections, first)} is what version ${version} does not know`);
    }
  }
  const kernel = all("kernel")[0] ?? 0;
  const early = all("ramdisk").find((ramdisk) => ramdisk < kernel);
  if (early !== undefined) {
    throw new EifError(
      `${named(sections, early)} stands before the kernel, which is ${named(sections, kernel)}`,
    );
  }
  checkLength(sections, all("signature")[0], EIF_SIGNATURE_MAX_BYTES);
  checkLength(sections, all("metadata")[0], EIF_METADATA_MAX_BYTES);
}

function checkLength(sections: readonly Section[], index: number | undefined, most: number): void {
  const { size = 0 } = (index === undefined ? undefined : sections[index]) ?? {};
  if (index === undefined || size <= most) return;
  throw new EifError(`${named(sections, index)} has ${size} bytes, at most ${most} are allowed`);
}
