/** The user's key and certificate files, and the signature sections that they create. */
import { UserError } from "../../sys/errors.ts";
import { shellQuote } from "../../sys/shell-quote.ts";
import type { System } from "../../sys/system.ts";
import { EifError } from "../format/reader.ts";
import { readSmallInput } from "../input-file.ts";
import type { EifContext } from "../progress.ts";
import {
  MAX_CERTIFICATE_BYTES,
  readCertificate,
  type SigningAlgorithm,
  type SigningCertificate,
  validityAt,
} from "./certificate.ts";
import {
  acceptSignature,
  belongsTo,
  encodeSignatureSection,
  readPrivateKey,
  signWith,
  type ToBeSigned,
  toBeSigned,
} from "./signature.ts";

/** Paths of PEM files. */
export interface SigningFiles {
  readonly privateKey: string;
  readonly certificate: string;
}

/** A key with its certificate. */
export interface Signer {
  readonly certificate: SigningCertificate;
  /** Returns the payload of a signature section for an image with this PCR0. Throws UserError. */
  sign(pcr0: Uint8Array): Uint8Array;
}

/** A certificate that was read from a file. */
export interface CertificateFile {
  /** How messages name the file. */
  readonly what: string;
  readonly certificate: SigningCertificate;
}

/** A certificate whose key can sign images. */
export interface UsableCertificate extends CertificateFile {
  readonly algorithm: SigningAlgorithm;
}

const CREATE_PAIR =
  "openssl ecparam -name secp384r1 -genkey -noout -out key.pem && " +
  "openssl req -new -x509 -key key.pem -sha384 -subj /CN=enclave -days 365 -out cert.pem";

/** Reads a certificate. Throws UserError. */
export function openCertificate(system: System, path: string): CertificateFile {
  const what = `-signing-certificate ${path}`;
  const bytes = readSmallInput(system, what, path, MAX_CERTIFICATE_BYTES);
  try {
    return { what, certificate: readCertificate(bytes, "the certificate") };
  } catch (error) {
    if (!(error instanceof EifError)) throw error;
    throw otherFile(what, path, bytes) ?? new UserError(what, error.message, CREATE_PAIR);
  }
}

/** The error for files that are commonly confused with a certificate in PEM. */
function otherFile(what: string, path: string, bytes: Uint8Array): UserError | undefined {
  if (bytes[0] === 0x30 && (bytes[1] ?? 0) >= 0x81 && (bytes[1] ?? 0) <= 0x84) {
    const command = `openssl x509 -inform DER -in ${shellQuote(path)} -out cert.pem`;
    return new UserError(what, "not PEM; it looks like DER", command);
  }
  const text = Buffer.from(bytes);
  if (!text.includes("PRIVATE KEY-----") || text.includes("CERTIFICATE-----")) return undefined;
  const hint = "-private-key names the key, -signing-certificate its certificate";
  return new UserError(what, "it is a private key", hint);
}

/**
 * Reads a certificate to sign with, and reports a warning if it is not valid yet.
 * Throws UserError if it has expired, or if its key cannot sign images.
 */
export function openSigningCertificate({ system, report }: EifContext, path: string): UsableCertificate {
  const { what, certificate } = openCertificate(system, path);
  const { algorithm, notAfter, notBefore, trailing } = certificate;
  if (algorithm === undefined) {
    throw new UserError(what, "its key is not an EC key of P-256, P-384 or P-521", CREATE_PAIR);
  }
  const validity = validityAt(certificate, new Date());
  if (validity === "expired") {
    const why = `it expired on ${notAfter.text}; no enclave starts with it`;
    throw new UserError(what, why, "renew the certificate; PCR8 changes with it");
  }
  if (validity === "not yet valid") {
    report(`warning: ${what}: it is valid from ${notBefore.text} on; before that no enclave starts with it`);
  }
  if (trailing > 0) {
    report(
      `warning: ${what}: only the first certificate is used; the ${trailing} bytes after it are ignored`,
    );
  }
  return { what, certificate, algorithm };
}

/** Keys that never leave a service, as other tools name them: by an ARN, and by a URI of RFC 7512. */
const KEY_SERVICES = [
  { pattern: /^arn:[a-z-]+:kms:/, name: "AWS KMS" },
  { pattern: /^pkcs11:/i, name: "a PKCS #11 token" },
] as const;

/** Throws UserError for a key that is not a file: its signature is made elsewhere. */
function refuseKeyService(what: string, key: string): void {
  const service = KEY_SERVICES.find(({ pattern }) => pattern.test(key));
  if (service === undefined) return;
  throw new UserError(
    what,
    `the key is in ${service.name}; nitro reads keys from files only, and inserts signatures that are made elsewhere`,
    "leave out -private-key and sign in two steps, with -to-be-signed and -signature: nitro eif sign -help",
  );
}

/** Reads both files. Throws UserError, also if the key does not belong to the certificate. */
export function openSigner(context: EifContext, files: SigningFiles): Signer {
  const what = `-private-key ${files.privateKey}`;
  refuseKeyService(what, files.privateKey);
  const { certificate, algorithm } = openSigningCertificate(context, files.certificate);
  const key = readPrivateKey(readSmallInput(context.system, what, files.privateKey, MAX_CERTIFICATE_BYTES));
  if (key === undefined) {
    throw new UserError(
      what,
      "not a private key in PEM, or protected with a passphrase",
      `openssl pkey -in ${shellQuote(files.privateKey)} -out key.pem removes a passphrase; ` +
        "for a key in a KMS, sign in two steps: nitro eif sign -help",
    );
  }
  if (!belongsTo(key, certificate)) {
    throw new UserError(
      what,
      `the key does not belong to the certificate ${files.certificate}`,
      `compare the public keys: openssl x509 -in ${shellQuote(files.certificate)} -noout -pubkey; ` +
        `openssl pkey -in ${shellQuote(files.privateKey)} -pubout`,
    );
  }
  return {
    certificate,
    sign(pcr0) {
      const message = toBeSigned(algorithm, pcr0);
      const signature = acceptSignature(certificate, message, signWith(key, message));
      if (signature === undefined) {
        throw new UserError(what, "its signature is not valid for the certificate");
      }
      return signatureSection(certificate, message, signature);
    },
  };
}

/** Returns the payload of a signature section. Throws UserError if the certificate is too large for one. */
export function signatureSection(
  certificate: SigningCertificate,
  message: ToBeSigned,
  signature: Uint8Array,
): Uint8Array {
  try {
    return encodeSignatureSection(certificate, message, signature);
  } catch (error) {
    throw error instanceof EifError ? new UserError("-signing-certificate", error.message) : error;
  }
}
