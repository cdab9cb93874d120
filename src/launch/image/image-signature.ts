/**
 * The signature of an EIF, looked at before the host is asked for anything: the hypervisor refuses a certificate that
 * has expired, or is not valid yet, and does not say why. Loaded for signed images alone.
 */

import { pcrOfCertificate } from "../../eif/format/measurement.ts";
import { EifError, type Section } from "../../eif/format/reader.ts";
import { type Certificate, validityAt } from "../../eif/signing/certificate.ts";
import { readSignature, whyNotHolding } from "../../eif/signing/signature.ts";
import { UserError } from "../../sys/errors.ts";
import type { InputFile } from "./input-file.ts";

/** Who signed an image. */
export interface SignedBy {
  /** PCR8. */
  readonly pcr8: Uint8Array;
  /** Why the signature does not hold for an image that measures so; undefined where it does. */
  readonly whyNotHolding: (pcr0: Uint8Array) => string | undefined;
  /** The section's bytes that were looked at, and where they stand in the file. */
  readonly checked: { readonly bytes: Uint8Array; readonly offset: number };
}

/**
 * Reads the signature section and checks what can be told without measuring the image: that it is well formed, made by
 * its certificate's key, and that the certificate is valid at `now`. Throws UserError and EifError.
 */
export function checkSignature(file: InputFile, index: number, section: Section, now: Date): SignedBy {
  const where = `section ${index} (signature, type 4)`;
  const bytes = new Uint8Array(section.size);
  if (file.read(bytes, section.offset) !== bytes.length) throw file.changed("it ends within its signature");
  const signature = readSignature(bytes, where);
  checkDates(file, signature.certificate, now);
  const why = whyNotHolding(signature, signature.pcr);
  if (why !== undefined) throw new EifError(`the signature in ${where} does not hold: ${why}`);
  return {
    pcr8: pcrOfCertificate(signature.certificate.der),
    whyNotHolding: (pcr0) => whyNotHolding(signature, pcr0),
    checked: { bytes, offset: section.offset },
  };
}

function checkDates(file: InputFile, certificate: Certificate, now: Date): void {
  const validity = validityAt(certificate, now);
  if (validity === "valid") return;
  const { notBefore, notAfter } = certificate;
  const when = validity === "expired" ? `expired on ${notAfter.text}` : `is valid from ${notBefore.text} on`;
  throw new UserError(
    file.what,
    `its signing certificate (${nameOf(certificate)}) ${when}; it is ${now.toUTCString()} by this machine's clock. ` +
      "The hypervisor would refuse the image and not say why",
    "sign it with another certificate: nitro eif sign; or set the clock, if it is wrong: timedatectl",
  );
}

function nameOf({ subject, issuer }: Certificate): string {
  const by = Object.entries(issuer).map(([name, value]) => `${name}=${value}`);
  return `subject ${subject || "without a name"}; issuer ${by.join(", ") || "without a name"}`;
}
