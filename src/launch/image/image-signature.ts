/**
 * Checks an EIF's signature before a launch: the hypervisor rejects a certificate that has expired or is not valid yet,
 * and does not say why. Loaded for signed images only.
 */
import { EIF_SIGNATURE_MAX_BYTES } from "../../eif/format/layout.ts";
import { pcrOfCertificate } from "../../eif/format/measurement.ts";
import { EifError, type EifSection, readPayload, sectionText } from "../../eif/format/reader.ts";
import type { InputFile } from "../../eif/input-file.ts";
import { type SigningCertificate, validityAt } from "../../eif/signing/certificate.ts";
import { readSignatureSection, signatureProblem } from "../../eif/signing/signature.ts";
import { UserError } from "../../sys/errors.ts";

/** A signature that passed the checks that do not need the image's PCRs. */
export interface CheckedSignature {
  readonly pcr8: Uint8Array;
  /** Returns why the signature is not valid for an image with this PCR0; undefined if it is. */
  readonly problem: (pcr0: Uint8Array) => string | undefined;
  /** The section's payload that was checked. */
  readonly bytes: Uint8Array;
  /** Where this payload is in the file, in bytes. */
  readonly offset: number;
}

/**
 * Reads a signature section and checks that it is well-formed, was made with its certificate's key, and that the
 * certificate is valid at `now`. Throws UserError and EifError.
 */
export function checkSignatureSection(
  file: InputFile,
  sections: readonly EifSection[],
  section: EifSection,
  now: Date,
): CheckedSignature {
  const where = sectionText(sections, section);
  const bytes = readPayload(file, section, EIF_SIGNATURE_MAX_BYTES);
  if (bytes === undefined) throw file.changed("it ends within its signature");
  const signature = readSignatureSection(bytes, where);
  checkDates(file, signature.certificate, now);
  const problem = signatureProblem(signature, signature.sign1.pcr);
  if (problem !== undefined) throw new EifError(`the signature in ${where} is not valid: ${problem}`);
  return {
    pcr8: pcrOfCertificate(signature.certificate.der),
    problem: (pcr0) => signatureProblem(signature, pcr0),
    bytes,
    offset: section.offset,
  };
}

function checkDates(file: InputFile, certificate: SigningCertificate, now: Date): void {
  const validity = validityAt(certificate, now);
  if (validity === "valid") return;
  const { notBefore, notAfter } = certificate;
  const when =
    validity === "expired" ? `expired on ${notAfter.text}` : `is not valid before ${notBefore.text}`;
  throw new UserError(
    file.what,
    `its signing certificate (${certificateText(certificate)}) ${when}; this instance's clock says ` +
      `${now.toUTCString()}. The hypervisor would reject the image without a reason`,
    "sign the image with another certificate: nitro eif sign -help; or, if the clock is wrong, set it: timedatectl",
  );
}

function certificateText({ subject, issuer }: SigningCertificate): string {
  const attributes = Object.entries(issuer).map(([name, value]) => `${name}=${value}`);
  return `subject ${subject || "without a name"}; issuer ${attributes.join(", ") || "without a name"}`;
}
