/**
 * Signing certificates: X.509 in PEM, in an image's signature section or in a file of the user, in every form that
 * OpenSSL reads. The runtime's X.509 (BoringSSL) parses them; nothing in them is trusted before that.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import { EifError } from "../format/reader.ts";
import { DER_TAG, derBytes, derChildren, derContent, derElement } from "./der.ts";
import { readPublicKey } from "./ec-key.ts";
import { type PemBlock, readPemBlock } from "./pem.ts";

/** The COSE algorithm of a key's curve. Source: RFC 9053, section 2.1. */
export interface SigningAlgorithm {
  readonly name: "ES256" | "ES384" | "ES512";
  /** NIST's name of the curve, and OpenSSL's. */
  readonly curve: "P-256" | "P-384" | "P-521";
  readonly openssl: "prime256v1" | "secp384r1" | "secp521r1";
  /** The algorithm's number in a COSE header. */
  readonly cose: -7 | -35 | -36;
  readonly hash: "sha256" | "sha384" | "sha512";
  /** The size of R, and of S, in bytes. */
  readonly halfBytes: number;
}

/** The algorithms of image signatures. */
const SIGNING_ALGORITHMS: readonly SigningAlgorithm[] = [
  { name: "ES256", curve: "P-256", openssl: "prime256v1", cose: -7, hash: "sha256", halfBytes: 32 },
  { name: "ES384", curve: "P-384", openssl: "secp384r1", cose: -35, hash: "sha384", halfBytes: 48 },
  { name: "ES512", curve: "P-521", openssl: "secp521r1", cose: -36, hash: "sha512", halfBytes: 66 },
];

/** A parsed certificate. */
export interface SigningCertificate {
  /**
   * The PEM block for a signature section, including its first and last line: as it was read, or encoded again if
   * not every reader accepts that.
   */
  readonly pem: string;
  /** The certificate encoded again, as AWS's reader does for PCR8: without what followed it in the block. */
  readonly der: Uint8Array;
  /** Attributes of the issuer by their long names (`commonName`), as in AWS's describe-eif. */
  readonly issuer: Readonly<Record<string, string>>;
  /** On one line: `CN=…, O=…`; without a name `subjectAltName=…`, or empty if there is neither. */
  readonly subject: string;
  /** OpenSSL's long name of the algorithm by which the certificate itself is signed. */
  readonly signedWith: string;
  readonly signature: Uint8Array;
  readonly notBefore: CertificateDate;
  readonly notAfter: CertificateDate;
  /** undefined if the runtime does not support its kind. */
  readonly publicKey: KeyObject | undefined;
  /** The algorithm by which its key signs images; undefined if the key is not an EC key of a supported curve. */
  readonly algorithm: SigningAlgorithm | undefined;
  /** The number of bytes after the PEM block, not counting blanks. */
  readonly trailing: number;
}

/** A date of a certificate, also as OpenSSL formats it (`Nov  5 04:41:51 2026 GMT`). */
export interface CertificateDate {
  readonly time: Date;
  readonly text: string;
}

/** The limit of a certificate or key file: a larger one does not fit into a signature section. */
export const MAX_CERTIFICATE_BYTES = 32768;

/** The labels of a certificate (PEM_STRING_X509, _OLD and _TRUSTED in include/openssl/pem.h). */
const LABELS = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"] as const;

/**
 * Parses the first certificate of a PEM text.
 * @param where how messages name it. Throws EifError.
 */
export function readCertificate(text: Uint8Array, where: string): SigningCertificate {
  if (text.length > MAX_CERTIFICATE_BYTES) {
    throw new EifError(`${where} has ${text.length} bytes; at most ${MAX_CERTIFICATE_BYTES} are read`);
  }
  const block = readPemBlock(text, LABELS, `${where} has`);
  const first = withoutTrailing(block.bytes, where);
  const x509 = parsing(where, () => new X509Certificate(first));
  const names = parsing(where, () => x509.toLegacyObject());
  const der = new Uint8Array(x509.raw);
  const publicKey = parsing(where, () => readPublicKey(publicKeyInfo(der)));
  const curve =
    publicKey?.asymmetricKeyType === "ec" ? publicKey.asymmetricKeyDetails?.namedCurve : undefined;
  return {
    ...{ pem: pemOf(block, der), der, trailing: block.trailing, publicKey },
    issuer: longNames({ ...names.issuer }),
    subject: subjectOf(x509),
    signedWith: x509.signatureAlgorithm ?? x509.signatureAlgorithmOid,
    signature: parsing(where, () => signatureOf(der)),
    notBefore: readDate(x509.validFrom, where),
    notAfter: readDate(x509.validTo, where),
    algorithm: SIGNING_ALGORITHMS.find(({ openssl }) => openssl === curve),
  };
}

/** Returns the certificate alone: OpenSSL appends data of its own to a trusted one, and other tools other bytes. */
function withoutTrailing(bytes: Uint8Array, where: string): Uint8Array {
  if (bytes[0] === DER_TAG.sequence && bytes[1] === 0x80)
    throw new EifError(`${where} is in BER with an indefinite length, not in DER`);
  return parsing(where, () => derBytes(bytes, derElement(bytes, 0)));
}

/** The runtime's type does not say so, but a certificate without a name has no subject. */
function subjectOf({
  subject,
  subjectAltName,
}: Pick<X509Certificate, "subjectAltName"> & { subject?: string }): string {
  if (subject !== undefined && subject !== "") return subject.replaceAll("\n", ", ");
  return subjectAltName === undefined ? "" : `subjectAltName=${subjectAltName}`;
}

/** Returns the block as it was read; encoded again if its label is an old one, or bytes follow the certificate. */
function pemOf({ label, text, bytes }: PemBlock, der: Uint8Array): string {
  if (label === LABELS[0] && equalBytes(bytes, der)) return `${text}\n`;
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** Returns whether a certificate is valid at `now`. */
export function validityAt(
  certificate: SigningCertificate,
  now: Date,
): "valid" | "expired" | "not yet valid" {
  if (now > certificate.notAfter.time) return "expired";
  return now < certificate.notBefore.time ? "not yet valid" : "valid";
}

/** Whether two byte arrays have the same content. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Runs the runtime's parser: whatever it throws, the certificate is at fault. */
function parsing<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // BoringSSL: error:0c0000b9:ASN.1 encoding routines:OPENSSL_internal:WRONG_TAG
    const reason = error instanceof Error ? (error.message.split(":").at(-1) ?? "") : "";
    throw new EifError(
      `${where} is not a valid X.509 certificate: ${reason.toLowerCase().replaceAll("_", " ")}`,
    );
  }
}

/** OpenSSL's long names (include/openssl/obj_mac.h) of certificate attributes. */
const LONG_NAMES: Readonly<Record<string, string>> = {
  C: "countryName",
  ST: "stateOrProvinceName",
  L: "localityName",
  O: "organizationName",
  OU: "organizationalUnitName",
  CN: "commonName",
  SN: "surname",
  GN: "givenName",
  DC: "domainComponent",
  UID: "userId",
  street: "streetAddress",
};

/** Sorted by name; if an attribute occurs several times, the last value counts, as in AWS's tool. */
function longNames(names: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const pairs = Object.entries(names).map(([name, value]): [string, string] => [
    LONG_NAMES[name] ?? name,
    String(Array.isArray(value) ? value.at(-1) : value),
  ]);
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function readDate(text: string, where: string): CertificateDate {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new EifError(`${where} has an invalid date: ${text}`);
  return { time, text };
}

/** Returns the elements of a certificate's outer sequence (RFC 5280, section 4.1). Throws RangeError. */
function partsOf(der: Uint8Array): ReturnType<typeof derChildren> {
  return derChildren(der, derElement(der, 0));
}

/** Returns the SubjectPublicKeyInfo, which follows the optional version and five other fields. Throws RangeError. */
function publicKeyInfo(der: Uint8Array): Uint8Array {
  const [certificate] = partsOf(der);
  const fields = certificate === undefined ? [] : derChildren(der, certificate);
  const info = fields[fields[0]?.tag === DER_TAG.context0 ? 6 : 5];
  if (info === undefined) throw new RangeError("no public key");
  return derBytes(der, info);
}

/** Returns the certificate's own signature, which the runtime does not expose: a bit string. Throws RangeError. */
function signatureOf(der: Uint8Array): Uint8Array {
  const last = partsOf(der).at(-1);
  // The first byte of a bit string is the number of unused bits.
  if (last?.tag !== DER_TAG.bitString || der[last.content] !== 0) throw new RangeError("no signature");
  return derContent(der, last).subarray(1);
}
