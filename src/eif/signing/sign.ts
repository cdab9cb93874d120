/**
 * `eif sign`: puts a signature into an image, or a new one in place of the old. All other sections stay byte for byte
 * the same; the new image is written beside the old one and takes its name when it is whole.
 */
import { basename } from "node:path";
import { UserError } from "../../sys/errors.ts";
import { CRC_OFFSET, crcBytes } from "../assembly.ts";
import { eifCrc } from "../format/crc.ts";
import {
  EIF_MAX_SECTIONS,
  EIF_SECTION,
  EIF_SIGNATURE_SINCE,
  eifHeader,
  eifSectionHeader,
} from "../format/layout.ts";
import type { Measurement } from "../format/measurement.ts";
import type { Eif } from "../format/reader.ts";
import { type InputFile, identitiesOf, readSmall } from "../input.ts";
import { type ImageInspection, inspectImage, openImage, requireCrc } from "../inspect.ts";
import { NewFile, openStream, replacing, type Target, targetOf } from "../output.ts";
import { type Around, beginWork, type Work } from "../progress.ts";
import type { Certificate } from "./certificate.ts";
import { acceptSignature, type ToBeSigned, toBeSigned } from "./signature.ts";
import { openSigner, openSigningCertificate, type SigningFiles, sectionOf } from "./signer.ts";

/** With a key that is at hand, or in two steps: what is to be signed goes out, the signature comes back. */
export type SigningWay =
  | { readonly kind: "key"; readonly files: SigningFiles }
  | { readonly kind: "ask"; readonly certificate: string; readonly output: string }
  | { readonly kind: "answer"; readonly certificate: string; readonly signature: string };

/** A whole command. */
export interface SignOptions {
  readonly image: string;
  /** Undefined: the image itself is replaced. */
  readonly output: string | undefined;
  readonly way: SigningWay;
}

/** What was done: an image signed, or bytes written that are to be signed. */
export interface Signed {
  readonly measurement: Measurement;
  readonly certificate: Certificate;
  readonly asked: ToBeSigned | undefined;
}

/** Signs the image, or writes what is to be signed. @param stdout descriptor of standard output. Throws UserError. */
export function sign(around: Around, options: SignOptions, stdout: number): Signed {
  using file = openImage(options.image);
  using work = beginWork(around, basename(options.image));
  const { way } = options;
  const target = outputOf(file, options);
  const signer = way.kind === "key" ? openSigner(around, way.files) : undefined;
  const own = way.kind === "key" ? undefined : openSigningCertificate(around, way.certificate);
  const survey = inspectImage(file, work);
  requireCrc(file, survey);
  const { measurement } = survey;
  checkRoom(file, survey.eif);
  if (signer !== undefined) {
    replace(file, survey, signer.sign(measurement.pcr0), target, stdout, work);
    return { measurement, certificate: signer.certificate, asked: undefined };
  }
  if (own === undefined || way.kind === "key")
    throw new UserError(file.what, "there is nothing to sign it with");
  const todo = toBeSigned(own.algorithm, measurement.pcr0);
  const done = { measurement, certificate: own.certificate };
  if (way.kind === "ask") {
    const others = [file.identity, ...identitiesOf(filesOf(way))];
    writeSmall(targetOf(`-to-be-signed ${way.output}`, way.output, others), todo.structure, stdout, work);
    return { ...done, asked: todo };
  }
  const signature = answered(way, own.certificate, todo);
  replace(file, survey, sectionOf(own.certificate, todo, signature), target, stdout, work);
  return { ...done, asked: undefined };
}

function outputOf(file: InputFile, { output, way }: SignOptions): Target {
  if (output === undefined) return replacing(file);
  return targetOf(`-o ${output}`, output, [file.identity, ...identitiesOf(filesOf(way))]);
}

function filesOf(way: SigningWay): string[] {
  if (way.kind === "key") return [way.files.privateKey, way.files.certificate];
  return way.kind === "ask" ? [way.certificate] : [way.certificate, way.signature];
}

/** A signature of at most this many bytes: the DER of P-521 has 139. */
const MOST_SIGNATURE_BYTES = 1024;

function answered(
  way: SigningWay & { readonly kind: "answer" },
  certificate: Certificate,
  todo: ToBeSigned,
): Uint8Array {
  const what = `-signature ${way.signature}`;
  const given = readSmall(what, way.signature, MOST_SIGNATURE_BYTES);
  const signature = acceptSignature(certificate, todo, given);
  if (signature !== undefined) return signature;
  const { halfBytes, name } = todo.algorithm;
  throw new UserError(
    what,
    `these ${given.length} bytes are not the certificate's ${name} signature over this image: ` +
      `neither as R and S (${2 * halfBytes} bytes) nor in DER`,
    "sign anew what -to-be-signed writes; base64 -d turns text into bytes",
  );
}

function checkRoom(file: InputFile, { version, sections }: Eif): void {
  if (version < EIF_SIGNATURE_SINCE) {
    throw new UserError(
      file.what,
      `version ${version} knows no signatures`,
      "build the image anew: nitro eif build",
    );
  }
  const signed = sections.some(({ name }) => name === "signature");
  if (!signed && sections.length === EIF_MAX_SECTIONS) {
    throw new UserError(file.what, `it has ${EIF_MAX_SECTIONS} sections, and there is room for no more`);
  }
}

function writeSmall(target: Target, bytes: Uint8Array, stdout: number, work: Work): void {
  if (target.kind === "stream") {
    using stream = openStream(target, stdout);
    stream.write(bytes);
    return;
  }
  using file = new NewFile(target.what, target.path, work, target.before);
  file.write(bytes);
  file.keep();
}

/** Where the signature section is to be: its place among the sections, and the bytes that it replaces. */
interface Place {
  readonly index: number;
  readonly begin: number;
  readonly end: number;
}

function placeOf({ eif, size }: ImageInspection): Place {
  const index = eif.sections.findIndex(({ name }) => name === "signature");
  const old = eif.sections[index];
  if (old === undefined) return { index: eif.sections.length, begin: size, end: size };
  return { index, begin: old.offset - eifSectionHeader.size, end: old.offset + old.size };
}

function replace(
  file: InputFile,
  survey: ImageInspection,
  section: Uint8Array,
  target: Target,
  stdout: number,
  work: Work,
): void {
  const place = placeOf(survey);
  if (target.kind === "stream") {
    const crc = splice(file, survey, section, place, work, () => {});
    using stream = openStream(target, stdout);
    splice(file, survey, section, place, work, (piece) => stream.write(piece), crc);
    return;
  }
  using output = new NewFile(target.what, target.path, work, target.before);
  const crc = splice(file, survey, section, place, work, (piece) => output.write(piece));
  output.writeAt(crcBytes(crc), CRC_OFFSET);
  output.keep();
}

/** Hands out the new image and gives its CRC. @param crc what its header says. Throws UserError. */
function splice(
  file: InputFile,
  survey: ImageInspection,
  section: Uint8Array,
  place: Place,
  work: Work,
  write: (piece: Uint8Array) => void,
  crc = 0,
): number {
  const [before, after] = [eifCrc(), eifCrc()];
  const put = (piece: Uint8Array) => {
    after.add(piece);
    write(piece);
  };
  const keep = (from: number, to: number) =>
    file.each(from, to - from, work, (piece) => {
      before.add(piece);
      put(piece);
    });
  work.expect(survey.size);
  const header = new Uint8Array(eifHeader.size);
  file.read(header, 0);
  before.add(header);
  put(newHeader(header, section.length, place, crc));
  keep(eifHeader.size, place.begin);
  put(
    eifSectionHeader.encode({
      section_type: EIF_SECTION.signature,
      flags: 0,
      section_size: BigInt(section.length),
    }),
  );
  put(section);
  file.each(place.begin, place.end - place.begin, work, (piece) => before.add(piece));
  keep(place.end, survey.size);
  if (before.value() !== survey.crc) throw file.changed("it is not what was measured");
  return after.value();
}

/** The header with one signature section of `bytes`: nothing else of it is touched. */
function newHeader(old: Uint8Array, bytes: number, place: Place, crc: number): Uint8Array {
  const header = eifHeader.decode(old);
  const isNew = place.index === header.num_sections;
  const grown = BigInt(eifSectionHeader.size + bytes - (place.end - place.begin));
  const offsets = header.section_offsets.map((offset, i) => {
    if (i === place.index) return BigInt(place.begin);
    return i > place.index && i < header.num_sections ? offset + grown : offset;
  });
  const sizes = header.section_sizes.map((size, i) => (i === place.index ? BigInt(bytes) : size));
  return eifHeader.encode({
    ...header,
    num_sections: header.num_sections + (isNew ? 1 : 0),
    section_offsets: offsets,
    section_sizes: sizes,
    eif_crc32: crc,
  });
}
