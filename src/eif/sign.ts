/**
 * `eif sign`: adds a signature to an image, or replaces the one it has. All other sections stay byte for byte the same;
 * the signed image is written next to the old one and takes its name once it is complete.
 */
import { basename } from "node:path";
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { CRC_OFFSET, encodeCrc, startCrc } from "./format/crc.ts";
import { EIF_MAX_SECTIONS, EIF_SIGNATURE_SINCE, eifHeader, eifSectionHeader } from "./format/layout.ts";
import type { Pcrs } from "./format/measurement.ts";
import type { EifHeader } from "./format/reader.ts";
import { encodeSectionHeader, replaceSection, type SectionPlace } from "./format/writer.ts";
import { type InputFile, identitiesOf, readSmallInput } from "./input-file.ts";
import { type EifInspection, inspectEif, openEif, requireCrc } from "./inspect.ts";
import {
  AtomicFile,
  type OutputTarget,
  openOutputStream,
  outputTarget,
  replacementTarget,
} from "./output.ts";
import { type EifContext, type EifProgress, startProgress } from "./progress.ts";
import type { SigningCertificate } from "./signing/certificate.ts";
import { acceptSignature, type ToBeSigned, toBeSigned } from "./signing/signature.ts";
import { openSigner, openSigningCertificate, type SigningFiles, signatureSection } from "./signing/signer.ts";

/** How to sign: with a private key, or in two steps, of which one writes the message and one reads its signature. */
export type SigningMethod =
  | { readonly kind: "private-key"; readonly files: SigningFiles }
  | { readonly kind: "to-be-signed"; readonly certificate: string; readonly output: string }
  | { readonly kind: "signature"; readonly certificate: string; readonly signature: string };

/** The arguments of `eif sign`. */
export interface SignOptions {
  readonly image: string;
  /** undefined: the image itself is replaced. */
  readonly output: string | undefined;
  readonly method: SigningMethod;
}

/** The result: a signed image, or a message to be signed. */
export interface SigningResult {
  readonly pcrs: Pcrs;
  readonly certificate: SigningCertificate;
  /** undefined if the image was signed. */
  readonly message: ToBeSigned | undefined;
}

/** Signs an image, or writes its message. @param stdout descriptor of standard output. Throws UserError. */
export function sign(context: EifContext, options: SignOptions, stdout: number): SigningResult {
  using file = openEif(context.system, options.image);
  using progress = startProgress(context, basename(options.image));
  const target = targetOf(context.system, file, options);
  const { certificate, apply } = openMethod(context, options.method);
  const inspection = inspectEif(file, progress);
  requireCrc(file, inspection);
  requireRoom(file, inspection.header);
  const { pcrs } = inspection;
  const applied = apply(pcrs.pcr0);
  if ("message" in applied) {
    writeMessage(target, applied.message.structure, stdout, progress);
    return { pcrs, certificate, message: applied.message };
  }
  writeSigned(new SignedImage(file, inspection, applied.section, progress), target, stdout, progress);
  return { pcrs, certificate, message: undefined };
}

function targetOf(system: System, file: InputFile, { output, method }: SignOptions): OutputTarget {
  const inputs = [file.identity, ...identitiesOf(system, filesOf(method))];
  if (method.kind === "to-be-signed") {
    return outputTarget(system, `-to-be-signed ${method.output}`, method.output, inputs);
  }
  return output === undefined
    ? replacementTarget(system, file)
    : outputTarget(system, `-o ${output}`, output, inputs);
}

function filesOf(method: SigningMethod): string[] {
  if (method.kind === "private-key") return [method.files.privateKey, method.files.certificate];
  return method.kind === "signature" ? [method.certificate, method.signature] : [method.certificate];
}

/** A signing method whose files have been read. */
interface OpenedMethod {
  readonly certificate: SigningCertificate;
  /** Returns the payload of the signature section, or the message to be signed. Throws UserError. */
  readonly apply: (pcr0: Uint8Array) => { readonly section: Uint8Array } | { readonly message: ToBeSigned };
}

function openMethod(context: EifContext, method: SigningMethod): OpenedMethod {
  if (method.kind === "private-key") {
    const { certificate, sign: signPcr0 } = openSigner(context, method.files);
    return { certificate, apply: (pcr0) => ({ section: signPcr0(pcr0) }) };
  }
  const { certificate, algorithm } = openSigningCertificate(context, method.certificate);
  if (method.kind === "to-be-signed") {
    return { certificate, apply: (pcr0) => ({ message: toBeSigned(algorithm, pcr0) }) };
  }
  return {
    certificate,
    apply(pcr0) {
      const message = toBeSigned(algorithm, pcr0);
      const signature = readSignature(context.system, method.signature, certificate, message);
      return { section: signatureSection(certificate, message, signature) };
    },
  };
}

/** The limit of a signature file: the DER of a P-521 signature has up to 139 bytes. */
const MAX_SIGNATURE_BYTES = 1024;

function readSignature(
  system: System,
  path: string,
  certificate: SigningCertificate,
  message: ToBeSigned,
): Uint8Array {
  const what = `-signature ${path}`;
  const bytes = readSmallInput(system, what, path, MAX_SIGNATURE_BYTES);
  const signature = acceptSignature(certificate, message, bytes);
  if (signature !== undefined) return signature;
  const { halfBytes, name } = message.algorithm;
  throw new UserError(
    what,
    `its ${bytes.length} bytes are not the certificate's ${name} signature of this image, ` +
      `neither as R and S (${2 * halfBytes} bytes) nor in DER`,
    "sign the output of -to-be-signed again; base64 -d decodes a signature that is text",
  );
}

function requireRoom(file: InputFile, { version, sections }: EifHeader): void {
  if (version < EIF_SIGNATURE_SINCE) {
    throw new UserError(
      file.what,
      `EIF version ${version} has no signatures`,
      "build the image again: nitro eif build -help",
    );
  }
  const signed = sections.some(({ name }) => name === "signature");
  if (!signed && sections.length === EIF_MAX_SECTIONS) {
    throw new UserError(
      file.what,
      `no room for a signature: it has ${sections.length} sections, the maximum`,
      "concatenate some of its ramdisks",
    );
  }
}

function writeMessage(target: OutputTarget, bytes: Uint8Array, stdout: number, progress: EifProgress): void {
  if (target.kind === "stream") {
    using stream = openOutputStream(target, stdout);
    stream.write(bytes);
    return;
  }
  using file = new AtomicFile(target, progress);
  file.write(bytes);
  file.rename();
}

function writeSigned(image: SignedImage, target: OutputTarget, stdout: number, progress: EifProgress): void {
  if (target.kind === "stream") {
    const crc = image.write(() => {}, 0);
    using stream = openOutputStream(target, stdout);
    image.write((chunk) => stream.write(chunk), crc);
    return;
  }
  using output = new AtomicFile(target, progress);
  const crc = image.write((chunk) => output.write(chunk), 0);
  output.writeAt(encodeCrc(crc), CRC_OFFSET);
  output.rename();
}

/** An image with another signature section. */
class SignedImage {
  constructor(
    private readonly file: InputFile,
    private readonly inspection: EifInspection,
    private readonly section: Uint8Array,
    private readonly progress: EifProgress,
  ) {}

  /**
   * Passes the whole image to `output`. Throws UserError if the file is not the one that was measured.
   * @param headerCrc the CRC in its header. Returns its actual CRC.
   */
  write(output: (chunk: Uint8Array) => void, headerCrc: number): number {
    const { file, inspection, section } = this;
    const { advance, expect } = this.progress;
    const [oldCrc, newCrc] = [startCrc(), startCrc()];
    const put = (chunk: Uint8Array) => {
      newCrc.add(chunk);
      output(chunk);
    };
    const copy = (start: number, end: number) =>
      file.forEachChunk(start, end - start, advance, (chunk) => {
        oldCrc.add(chunk);
        put(chunk);
      });
    expect(inspection.size);
    const place = signaturePlace(inspection);
    const header = new Uint8Array(eifHeader.size);
    file.read(header, 0);
    oldCrc.add(header);
    put(replaceSection(header, place, section.length, headerCrc));
    copy(eifHeader.size, place.start);
    put(encodeSectionHeader("signature", section.length));
    put(section);
    file.forEachChunk(place.start, place.end - place.start, advance, (chunk) => oldCrc.add(chunk));
    copy(place.end, inspection.size);
    if (oldCrc.value() !== inspection.crc) throw file.changed("its CRC-32 is not the one that was measured");
    return newCrc.value();
  }
}

/** The old signature section, or the end of the file. */
function signaturePlace({ header: { sections }, size }: EifInspection): SectionPlace {
  const index = sections.findIndex(({ name }) => name === "signature");
  const old = sections[index];
  if (old === undefined) return { index: sections.length, start: size, end: size };
  return { index, start: old.offset - eifSectionHeader.size, end: old.offset + old.size };
}
