/**
 * Reads the EIFs that AWS's reader accepts and a launch refuses. It accepts any version, and reads one section after
 * another from the end of the header on; it ignores the numbers, offsets and sizes of sections in the header. Source:
 * EifReader::from_eif in src/utils/eif_reader.rs of aws/aws-nitro-enclaves-image-format.
 */
import type { ByteSource } from "./bytes.ts";
import { eifHeader, eifSectionHeader } from "./layout.ts";
import {
  brokenHeaderRules,
  brokenSectionRules,
  EifError,
  type EifHeader,
  type EifHeaderFieldsRead,
  type EifSection,
  eifHeaderOf,
  readEif,
  readHeaderFields,
  sectionName,
  sectionText,
} from "./reader.ts";

/** An image, and what is unusual about it. */
export interface LenientReading {
  readonly header: EifHeader;
  /** The rules that it violates, so that a launch refuses it. */
  readonly violations: readonly string[];
  /** What a launch accepts. */
  readonly oddities: readonly string[];
}

/** Reads an image's headers by the specification, or else as AWS's reader does. Throws EifError if neither can. */
export function readEifLeniently(file: ByteSource): LenientReading {
  const fields = readHeaderFields(file);
  try {
    const header = readEif(file);
    return { header, violations: [], oddities: staleSizes(fields, header.sections) };
  } catch (error) {
    const sections = error instanceof EifError ? sectionsInSequence(file) : undefined;
    if (sections === undefined) throw error;
    const violations = [
      ...brokenHeaderRules(fields),
      ...brokenTable(fields, sections),
      ...brokenSectionRules(sections, fields.version),
    ];
    return { header: eifHeaderOf(fields, sections), violations, oddities: staleSizes(fields, sections) };
  }
}

/** More sections than any file has; it limits the time that a file of empty sections takes. */
const MAX_SECTIONS = 1024;

/** Returns the sections in the file's order; undefined if something else is among them. */
function sectionsInSequence(file: ByteSource): EifSection[] | undefined {
  const sections: EifSection[] = [];
  const bytes = new Uint8Array(eifSectionHeader.size);
  for (let at = eifHeader.size; file.read(bytes, at) === bytes.length; ) {
    const { section_type: type, section_size: size } = eifSectionHeader.decode(bytes);
    const name = sectionName(type);
    const offset = at + bytes.length;
    if (name === undefined || size > BigInt(file.size - offset) || sections.length === MAX_SECTIONS)
      return undefined;
    sections.push({ name, offset, size: Number(size) });
    at = offset + Number(size);
  }
  return sections;
}

/** Where the header's table of sections differs from the file. */
function brokenTable(fields: EifHeaderFieldsRead, sections: readonly EifSection[]): string[] {
  const { num_sections: count, section_offsets: offsets, section_sizes: sizes } = fields;
  if (count !== sections.length)
    return [`the header lists ${count} sections, the file has ${sections.length} one after another`];
  return sections.flatMap((section, i) => {
    const start = section.offset - eifSectionHeader.size;
    const sameSize = sizes[i] === BigInt(section.size) || section.name === "signature";
    if (offsets[i] === BigInt(start) && sameSize) return [];
    const listed = `at byte ${offsets[i]} with ${sizes[i]} bytes`;
    return [`the header lists ${sectionText(sections, section)} with ${section.size} bytes as ${listed}`];
  });
}

function staleSizes(
  { section_sizes: sizes }: EifHeaderFieldsRead,
  sections: readonly EifSection[],
): string[] {
  const index = sections.findIndex(({ name }) => name === "signature");
  const section = sections[index];
  const listed = sizes[index];
  if (section === undefined || listed === undefined || listed === BigInt(section.size)) return [];
  return [
    `${sectionText(sections, section)} has ${section.size} bytes, the file header says ${listed}: AWS's signer ` +
      "leaves the size of the signature that it replaces, and the section's own counts",
  ];
}
