/** `eif verify`: checks that an image is undamaged, that its signature is valid now, and by which certificate. */
import { basename } from "node:path";
import { crcMismatch } from "./format/crc.ts";
import type { Pcrs } from "./format/measurement.ts";
import { type EifInspection, inspectEif, openEif } from "./inspect.ts";
import { type EifContext, startProgress } from "./progress.ts";
import { equalBytes, type SigningCertificate, validityAt } from "./signing/certificate.ts";
import { openCertificate } from "./signing/signer.ts";

/** The arguments of `eif verify`. */
export interface VerifyOptions {
  readonly image: string;
  /** The path of the certificate that the image must be signed with; undefined accepts any. */
  readonly certificate: string | undefined;
}

/** The result of a verification. */
export interface Verification {
  readonly pcrs: Pcrs;
  readonly certificate: SigningCertificate | undefined;
  /** The first failed check, in one sentence; undefined if all succeed. */
  readonly problem: string | undefined;
}

/** Reads the image once. Throws UserError if it cannot be read. */
export function verify(context: EifContext, options: VerifyOptions): Verification {
  const expected =
    options.certificate === undefined
      ? undefined
      : openCertificate(context.system, options.certificate).certificate;
  using file = openEif(context.system, options.image);
  using progress = startProgress(context, basename(options.image));
  const inspection = inspectEif(file, progress);
  return {
    pcrs: inspection.pcrs,
    certificate: inspection.signature?.section?.certificate,
    problem: firstProblem(inspection, expected, new Date()),
  };
}

function firstProblem(
  { signature, crc, header }: EifInspection,
  expected: SigningCertificate | undefined,
  now: Date,
): string | undefined {
  if (crc !== header.crc) return crcMismatch(crc, header.crc);
  if (signature === undefined) return "it is not signed";
  const { section, problem, where } = signature;
  if (section === undefined) return problem;
  const { certificate } = section;
  if (problem !== undefined) return `the signature in ${where} is not valid: ${problem}`;
  if (expected !== undefined && !equalBytes(expected.der, certificate.der)) {
    return `it is signed with another certificate: ${certificate.subject || "without a name"}`;
  }
  const validity = validityAt(certificate, now);
  if (validity === "valid") return undefined;
  const dates = `valid from ${certificate.notBefore.text} to ${certificate.notAfter.text}`;
  return `the signing certificate in ${where} is ${validity} (${dates}); no enclave starts with it`;
}
