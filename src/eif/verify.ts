/** `eif verify`: whether an image is whole and its signature holds, today and for whom. */
import { basename } from "node:path";
import type { Measurement } from "./format/measurement.ts";
import { crcComplaint, type ImageInspection, inspectImage, openImage, sectionText } from "./inspect.ts";
import { type Around, beginWork } from "./progress.ts";
import { type Certificate, equal, validityAt } from "./signing/certificate.ts";
import { openCertificate } from "./signing/signer.ts";

/** A whole command. */
export interface VerifyOptions {
  readonly image: string;
  /** Where it is given, the image must be signed with this very certificate. */
  readonly certificate: string | undefined;
}

/** The verdict. */
export interface Verdict {
  readonly measurement: Measurement;
  readonly certificate: Certificate | undefined;
  /** What is wrong, in one sentence; undefined where all holds. */
  readonly whyNot: string | undefined;
}

/** Reads the image once. Throws UserError where it cannot be read at all. */
export function verify(around: Around, options: VerifyOptions): Verdict {
  const expected =
    options.certificate === undefined ? undefined : openCertificate(options.certificate).certificate;
  using file = openImage(options.image);
  using work = beginWork(around, basename(options.image));
  const survey = inspectImage(file, work);
  return {
    measurement: survey.measurement,
    certificate: survey.signature?.read?.certificate,
    whyNot: whyNot(survey, expected, new Date()),
  };
}

function whyNot(survey: ImageInspection, expected: Certificate | undefined, now: Date): string | undefined {
  const { signature, crc, eif } = survey;
  if (crc !== eif.crc) return crcComplaint(survey);
  if (signature === undefined) return "it is not signed";
  const where = sectionText(eif, signature.section);
  if (signature.read === undefined) return signature.whyNot;
  const { certificate } = signature.read;
  if (signature.whyNot !== undefined) return `the signature in ${where} does not hold: ${signature.whyNot}`;
  if (expected !== undefined && !equal(expected.der, certificate.der)) {
    return `it is signed with another certificate than that: ${certificate.subject}`;
  }
  const validity = validityAt(certificate, now);
  if (validity === "valid") return undefined;
  const dates = `valid from ${certificate.notBefore.text} to ${certificate.notAfter.text}`;
  return `the signing certificate in ${where} is ${validity} (${dates}): no enclave starts with it`;
}
