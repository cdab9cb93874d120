/**
 * Signing certificates: X.509 in PEM, in an image's signature section or in a file of the user. The runtime's X.509
 * (BoringSSL) parses them; nothing in them is trusted before.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import { EifError } from "../format/reader.ts";

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
  /** The PEM block, including its first and last line, as it was read. */
  readonly pem: string;
  readonly der: Uint8Array;
  /** Attributes of the issuer by their long names (`commonName`), as in AWS's describe-eif. */
  readonly issuer: Readonly<Record<string, string>>;
  /** On one line: `CN=…, O=…`. */
  readonly subject: string;
  /** OpenSSL's long name of the algorithm by which the certificate itself is signed. */
  readonly signedWith: string;
  readonly signature: Uint8Array;
  readonly notBefore: CertificateDate;
  readonly notAfter: CertificateDate;
  readonly publicKey: KeyObject;
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

/**
 * Parses the first certificate of a PEM text.
 * @param where how messages name it. Throws EifError.
 */
export function readCertificate(text: Uint8Array, where: string): SigningCertificate {
  const { pem, der, trailing } = firstBlock(text, where);
  const x509 = parsing(where, () => new X509Certificate(der));
  const publicKey = parsing(where, () => x509.publicKey);
  const names = parsing(where, () => x509.toLegacyObject());
  // `raw` is the parsed certificate, encoded again.
  if (!equalBytes(x509.raw, der))
    throw new EifError(`${where} is not DER, or its block contains more than the certificate`);
  // The hypervisor and other tools read the PEM, not the DER.
  parsing(where, () => new X509Certificate(pem));
  const curve = publicKey.asymmetricKeyType === "ec" ? publicKey.asymmetricKeyDetails?.namedCurve : undefined;
  return {
    ...{ pem, der, trailing, publicKey },
    issuer: longNames({ ...names.issuer }),
    subject: x509.subject.replaceAll("\n", ", "),
    signedWith: x509.signatureAlgorithm ?? x509.signatureAlgorithmOid,
    signature: lastBitString(der, where),
    notBefore: readDate(x509.validFrom, where),
    notAfter: readDate(x509.validTo, where),
    algorithm: SIGNING_ALGORITHMS.find(({ openssl }) => openssl === curve),
  };
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

/** The first and last line contain nothing else: OpenSSL rejects anything else, and so do other tools. */
const BLOCK = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]*)^-----END CERTIFICATE-----(?=[ \t\r]*$)/m;

function firstBlock(text: Uint8Array, where: string): { pem: string; der: Uint8Array; trailing: number } {
  if (text.length > MAX_CERTIFICATE_BYTES) {
    throw new EifError(`${where} has ${text.length} bytes; at most ${MAX_CERTIFICATE_BYTES} are read`);
  }
  const latin1 = Buffer.from(text).toString("latin1");
  const match = BLOCK.exec(latin1);
  if (match === null) {
    throw new EifError(
      `${where} has no PEM block from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----`,
    );
  }
  const base64 = (match[1] ?? "").replace(/\s/g, "");
  try {
    const der = Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
    const trailing = latin1.slice(match.index + match[0].length).trim().length;
    return { pem: `${match[0]}\n`, der, trailing };
  } catch {
    throw new EifError(`${where} has a PEM block that is not base64`);
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

/**
 * Returns the certificate's own signature, which the runtime does not expose: the last element of the outer sequence, a
 * bit string. Source: RFC 5280, section 4.1.
 */
function lastBitString(der: Uint8Array, where: string): Uint8Array {
  const outer = element(der, 0);
  let at = outer.content;
  let last = outer;
  while (at < outer.end) {
    last = element(der, at);
    at = last.end;
  }
  const bits = der.subarray(last.content, last.end);
  if (at !== der.length || last.tag !== 0x03 || bits[0] !== 0) {
    throw new EifError(`${where} does not end with its signature`);
  }
  return bits.subarray(1);
}

/** An element of DER: its tag, and the range of its content. Lengths have at most three bytes here. */
function element(der: Uint8Array, at: number): { tag: number; content: number; end: number } {
  const first = der[at + 1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  let length = count === 0 ? first : 0;
  for (let i = 0; i < Math.min(count, 3); i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  const content = at + 2 + count;
  return { tag: der[at] ?? 0, content, end: content + length };
}
