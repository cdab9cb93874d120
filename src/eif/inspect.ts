/** Reads a whole EIF once: its sections, the CRC and the PCRs of its actual content, and its small sections. */
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import type { ByteSource } from "./format/bytes.ts";
import { crcMismatch, startCrc } from "./format/crc.ts";
import { EIF_SIGNATURE_MAX_BYTES, type SectionName } from "./format/layout.ts";
import { type Pcrs, startMeasurement } from "./format/measurement.ts";
import {
  EifError,
  type EifHeader,
  type EifSection,
  isEif,
  readEif,
  readPayload,
  sectionText,
} from "./format/reader.ts";
import { type Advance, type InputFile, openInput } from "./input-file.ts";
import type { EifProgress } from "./progress.ts";
import { readSignatureSection, type SignatureSection, signatureProblem } from "./signing/signature.ts";

/** What a file that is an EIF contains, valid or not. */
export interface EifInspection {
  readonly header: EifHeader;
  /** Size of the file, in bytes. */
  readonly size: number;
  /** The CRC of the file's actual content; the one that the header has is in `header`. */
  readonly crc: number;
  readonly pcrs: Pcrs;
  /** undefined for an unsigned image. */
  readonly signature: SignatureCheck | undefined;
}

/** A signature section, and whether its signature is valid. */
export interface SignatureCheck {
  /** How messages name the section. */
  readonly where: string;
  /** undefined if it cannot be read. */
  readonly section: SignatureSection | undefined;
  /** Why the signature is not valid; undefined if it is. */
  readonly problem: string | undefined;
}

/** Larger text sections are not read into memory: no tool writes such, and the file may be anything. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** Opens an image. Throws UserError if the file is not an EIF. */
export function openEif(system: System, path: string): InputFile {
  using stack = new DisposableStack();
  const file = stack.use(openInput(system, path, path));
  if (!isEif(file.head)) {
    const hint = "nitro eif build makes an EIF from a kernel and ramdisks";
    throw new UserError(path, "not an EIF: it does not start with .eif", hint);
  }
  stack.move();
  return file;
}

/** Reads the headers only. Throws UserError. */
export function readHeaders(file: InputFile): EifHeader {
  return readHeadersWith(file, readEif);
}

/** Reads the headers with another reader than readEif; its EifError becomes a UserError. */
export function readHeadersWith<T>(file: InputFile, read: (file: ByteSource) => T): T {
  try {
    return read(file);
  } catch (error) {
    throw error instanceof EifError ? new UserError(file.what, error.message, DAMAGED) : error;
  }
}

/** Receives the content of an EIF in file order. */
export interface EifVisitor {
  /** The payload of a section starts. */
  readonly startSection?: (section: EifSection) => void;
  /** @param section undefined for headers and gaps. */
  readonly chunk: (bytes: Uint8Array, section: EifSection | undefined) => void;
}

/** Reads a whole file once, from its first byte to its last. Throws UserError. */
export function visitEif(
  file: InputFile,
  sections: readonly EifSection[],
  advance: Advance,
  { startSection, chunk }: EifVisitor,
): void {
  let offset = 0;
  const readUntil = (end: number, section?: EifSection) => {
    file.forEachChunk(offset, end - offset, advance, (bytes) => chunk(bytes, section));
    offset = end;
  };
  for (const section of sections) {
    readUntil(section.offset);
    startSection?.(section);
    readUntil(section.offset + section.size, section);
  }
  readUntil(file.size);
}

/** Reads a whole image once. @param header what readHeaders returned, or another reader. Throws UserError. */
export function inspectEif(
  file: InputFile,
  progress: EifProgress,
  header: EifHeader = readHeaders(file),
): EifInspection {
  progress.expect(file.size);
  const crc = startCrc();
  const measurement = startMeasurement();
  visitEif(file, header.sections, progress.advance, {
    startSection: ({ name }) => measurement.startSection(name),
    chunk(bytes, section) {
      crc.add(bytes);
      if (section !== undefined) measurement.add(bytes);
    },
  });
  const pcrs = measurement.pcrs();
  return {
    header,
    size: file.size,
    crc: crc.value(),
    pcrs,
    signature: checkSignature(file, header, pcrs.pcr0),
  };
}

function checkSignature(
  file: InputFile,
  { sections }: EifHeader,
  pcr0: Uint8Array,
): SignatureCheck | undefined {
  const found = sections.find(({ name }) => name === "signature");
  if (found === undefined) return undefined;
  const where = sectionText(sections, found);
  try {
    const section = readSignatureSection(payloadOf(file, found, EIF_SIGNATURE_MAX_BYTES), where);
    return { where, section, problem: signatureProblem(section, pcr0) };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    return { where, section: undefined, problem: error.message };
  }
}

/** Reads a section's payload as a whole. Throws EifError if it is larger than `maxBytes`, UserError. */
export function payloadOf(file: InputFile, section: EifSection, maxBytes: number): Uint8Array {
  const payload = readPayload(file, section, maxBytes);
  if (payload === undefined) throw file.changed(`it ends within its ${section.name}`);
  return payload;
}

/** Returns the text of a section (command line, metadata); undefined if it is missing or larger than 1 MiB. */
export function sectionContentText(
  file: InputFile,
  { sections }: EifHeader,
  name: SectionName,
): string | undefined {
  const section = sections.find((candidate) => candidate.name === name);
  if (section === undefined || section.size > MAX_TEXT_BYTES) return undefined;
  return new TextDecoder().decode(payloadOf(file, section, MAX_TEXT_BYTES));
}

/** Throws UserError if the CRC in the header is not that of the file. */
export function requireCrc(file: InputFile, { crc, header }: Pick<EifInspection, "crc" | "header">): void {
  if (crc !== header.crc) throw new UserError(file.what, crcMismatch(crc, header.crc), DAMAGED);
}

const DAMAGED = "build the image again, or copy it again and compare the checksums";
