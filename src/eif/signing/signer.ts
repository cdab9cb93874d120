/** Keys and certificates of the user's, and what they make of an image's PCR0. */

import { UserError } from "../../sys/errors.ts";
import { EifError } from "../format/reader.ts";
import { readSmall } from "../input.ts";
import type { Around } from "../progress.ts";
import {
  type Certificate,
  MOST_CERTIFICATE_BYTES,
  readCertificate,
  type SigningAlgorithm,
  validityAt,
} from "./certificate.ts";
import {
  acceptSignature,
  belongsTo,
  encodeSignature,
  readPrivateKey,
  signWith,
  type ToBeSigned,
  toBeSigned,
} from "./signature.ts";

/** Files in PEM. */
export interface SigningFiles {
  readonly privateKey: string;
  readonly certificate: string;
}

/** Somebody who can sign images. */
export interface Signer {
  readonly certificate: Certificate;
  /** The payload of a signature section for an image with this PCR0. */
  sign(pcr0: Uint8Array): Uint8Array;
}

/** A certificate that images can be signed for. */
export interface SigningCertificate {
  readonly what: string;
  readonly certificate: Certificate;
  readonly algorithm: SigningAlgorithm;
}

const HOW_TO_MAKE_ONE =
  "openssl ecparam -name secp384r1 -genkey -noout -out key.pem && " +
  "openssl req -new -x509 -key key.pem -sha384 -subj /CN=enclave -days 365 -out cert.pem";

/** Reads a certificate. Throws UserError. */
export function openCertificate(path: string): { readonly what: string; readonly certificate: Certificate } {
  const what = `-signing-certificate ${path}`;
  const bytes = readSmall(what, path, MOST_CERTIFICATE_BYTES);
  try {
    return { what, certificate: readCertificate(bytes, "the certificate") };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    throw otherKind(what, path, bytes) ?? new UserError(what, error.message, HOW_TO_MAKE_ONE);
  }
}

/** What people give in place of a certificate in PEM. */
function otherKind(what: string, path: string, bytes: Uint8Array): UserError | undefined {
  if (bytes[0] === 0x30 && bytes[1] === 0x82) {
    return new UserError(
      what,
      "it is no PEM; it may be DER",
      `openssl x509 -inform DER -in ${path} -out cert.pem`,
    );
  }
  if (!Buffer.from(bytes).includes("PRIVATE KEY-----")) return undefined;
  return new UserError(
    what,
    "it is a private key",
    "-private-key names the key, -signing-certificate its certificate",
  );
}

/**
 * Reads a certificate to sign with. Throws UserError for one that is expired, or whose key no image can be signed with;
 * one that is not valid yet draws a warning.
 */
export function openSigningCertificate(around: Around, path: string): SigningCertificate {
  const { what, certificate } = openCertificate(path);
  const { algorithm, notAfter, notBefore, trailing } = certificate;
  if (algorithm === undefined) {
    throw new UserError(what, "its key is not an EC key of P-256, P-384 or P-521", HOW_TO_MAKE_ONE);
  }
  const validity = validityAt(certificate, new Date());
  if (validity === "expired") {
    const why = `it expired on ${notAfter.text}; no enclave starts that is signed with it`;
    throw new UserError(what, why, "renew the certificate, with the same key if PCR8 may change");
  }
  if (validity === "not yet valid") {
    around.report(
      `warning: ${what}: it is valid from ${notBefore.text} on; before that no enclave starts with it`,
    );
  }
  if (trailing > 0) {
    around.report(
      `warning: ${what}: the first certificate of the file is used; ${trailing} bytes after it are not`,
    );
  }
  return { what, certificate, algorithm };
}

/** Reads both files. Throws UserError where they do not belong together. */
export function openSigner(around: Around, files: SigningFiles): Signer {
  const { certificate, algorithm } = openSigningCertificate(around, files.certificate);
  const what = `-private-key ${files.privateKey}`;
  const key = readPrivateKey(readSmall(what, files.privateKey, MOST_CERTIFICATE_BYTES));
  if (key === undefined) {
    const why = "it cannot be read as a private key in PEM without a pass phrase";
    throw new UserError(
      what,
      why,
      `openssl pkey -in ${files.privateKey} -out key.pem takes a pass phrase away; a KMS signs in two steps`,
    );
  }
  if (!belongsTo(key, certificate)) {
    const why = `it is not the key of the certificate ${files.certificate}`;
    throw new UserError(what, why, `openssl x509 -in ${files.certificate} -noout -pubkey shows whose it is`);
  }
  return {
    certificate,
    sign(pcr0) {
      const todo = toBeSigned(algorithm, pcr0);
      const signature = acceptSignature(certificate, todo, signWith(key, todo));
      if (signature === undefined)
        throw new UserError(what, "what it signed does not hold for the certificate");
      return sectionOf(certificate, todo, signature);
    },
  };
}

/** The section's payload. Throws UserError where the certificate is too long for one. */
export function sectionOf(certificate: Certificate, todo: ToBeSigned, signature: Uint8Array): Uint8Array {
  try {
    return encodeSignature(certificate, todo, signature);
  } catch (error) {
    throw error instanceof EifError ? new UserError("-signing-certificate", error.message) : error;
  }
}
