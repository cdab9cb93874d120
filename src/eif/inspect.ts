/** One reading of a whole EIF: its sections, the CRC and the PCRs of what is really there, and its small sections. */

import { UserError } from "../sys/errors.ts";
import { eifCrc } from "./format/crc.ts";
import {
  EIF_SECTION,
  EIF_SIGNATURE_MAX_BYTES,
  eifHeader,
  eifSectionHeader,
  type SectionName,
} from "./format/layout.ts";
import { type Measurement, measurement } from "./format/measurement.ts";
import { type Eif, EifError, hex32, isEif, readEif, type Section } from "./format/reader.ts";
import { InputFile } from "./input.ts";
import type { Work } from "./progress.ts";
import { type ImageSignature, readSignature, whyNotHolding } from "./signing/signature.ts";

/** What an EIF is found to be. */
export interface ImageInspection {
  readonly eif: Eif;
  /** Bytes of the file. */
  readonly size: number;
  readonly defaults: { readonly memoryBytes: bigint; readonly cpus: bigint };
  /** Of the file as it is; the header's is in `eif`. */
  readonly crc: number;
  readonly measurement: Measurement;
  readonly signature: SignatureFinding | undefined;
}

/** What the signature section is found to be: readable or not, holding or not. */
export interface SignatureFinding {
  readonly section: Section;
  readonly read: ImageSignature | undefined;
  /** Why it does not hold; undefined where it does. */
  readonly whyNot: string | undefined;
}

/** Text sections that are longer are not read into memory: no tool makes such, and a stranger's file may be any. */
export const MOST_TEXT_BYTES = 1024 * 1024;

/** Opens an image; the file must be an EIF. Throws UserError. */
export function openImage(path: string): InputFile {
  const file = new InputFile(path, path);
  try {
    const head = new Uint8Array(4);
    if (isEif(head.subarray(0, file.read(head, 0)))) return file;
    const hint = "nitro eif build makes one of a kernel and ramdisks";
    throw new UserError(
      path,
      file.size === 0 ? "the file is empty" : "it does not begin with .eif: no EIF",
      hint,
    );
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/** Reads header and sections only. Throws UserError, naming section and byte offset. */
export function readImage(file: InputFile): Eif {
  return diagnosing(file, () => readEif(file));
}

/** Reads the whole image once. Throws UserError. */
export function inspectImage(file: InputFile, work: Work): ImageInspection {
  const eif = readImage(file);
  work.expect(file.size);
  const crc = eifCrc();
  const measured = measurement();
  let at = 0;
  const until = (end: number, use: (piece: Uint8Array) => void) => {
    file.each(at, end - at, work, use);
    at = end;
  };
  for (const section of eif.sections) {
    until(section.offset, (piece) => crc.add(piece));
    measured.begin(section.name);
    until(section.offset + section.size, (piece) => {
      crc.add(piece);
      measured.add(piece);
    });
  }
  until(file.size, (piece) => crc.add(piece));
  const pcrs = measured.values();
  return {
    ...{ eif, size: file.size, crc: crc.value(), measurement: pcrs },
    defaults: defaultsOf(file),
    signature: signatureOf(file, eif, pcrs.pcr0),
  };
}

function defaultsOf(file: InputFile): ImageInspection["defaults"] {
  const bytes = new Uint8Array(eifHeader.size);
  file.read(bytes, 0);
  const header = eifHeader.decode(bytes);
  return { memoryBytes: header.default_mem, cpus: header.default_cpus };
}

function signatureOf(file: InputFile, eif: Eif, pcr0: Uint8Array): SignatureFinding | undefined {
  const section = eif.sections.find(({ name }) => name === "signature");
  if (section === undefined) return undefined;
  try {
    const read = readSignature(payloadOf(file, section, EIF_SIGNATURE_MAX_BYTES), sectionText(eif, section));
    return { section, read, whyNot: whyNotHolding(read, pcr0) };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    return { section, read: undefined, whyNot: error.message };
  }
}

/** A section as messages name it, in the reader's way: `section 3 (metadata, type 5) at byte 1066133`. */
export function sectionText(eif: Eif, section: Section): string {
  const at = section.offset - eifSectionHeader.size;
  return `section ${eif.sections.indexOf(section)} (${section.name}, type ${EIF_SECTION[section.name]}) at byte ${at}`;
}

/** A section's payload as a whole. Throws UserError where it has more than `most` bytes. */
export function payloadOf(file: InputFile, section: Section, most: number): Uint8Array {
  if (section.size > most) {
    throw new EifError(
      `${section.name} at byte ${section.offset} has ${section.size} bytes, at most ${most} are read`,
    );
  }
  const bytes = new Uint8Array(section.size);
  if (file.read(bytes, section.offset) !== section.size) throw file.changed("it is shorter now");
  return bytes;
}

/** The text of a section that should be one (command line, metadata); undefined where it is missing or too long. */
export function textOf(file: InputFile, eif: Eif, name: SectionName): string | undefined {
  const section = eif.sections.find((candidate) => candidate.name === name);
  if (section === undefined || section.size > MOST_TEXT_BYTES) return undefined;
  return new TextDecoder().decode(payloadOf(file, section, MOST_TEXT_BYTES));
}

/** Throws UserError where the file is not what its header's CRC says. */
export function requireCrc(file: InputFile, survey: ImageInspection): void {
  if (survey.crc !== survey.eif.crc) throw new UserError(file.what, crcComplaint(survey), DAMAGED);
}

/** What is wrong with the CRC, in numbers. */
export function crcComplaint({ crc, eif }: ImageInspection): string {
  const at = eifHeader.offsets.eif_crc32;
  return `its CRC-32 is ${hex32(crc)}, the header says ${hex32(eif.crc)} at byte ${at}; the file is damaged`;
}

const DAMAGED = "build the image again, or copy it again and compare the checksums";

/** Runs what reads an image: the rules that it breaks become a UserError that names the file. */
export function diagnosing<T>(file: InputFile, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof EifError ? new UserError(file.what, error.message, DAMAGED) : error;
  }
}
