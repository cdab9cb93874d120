/**
 * A signing certificate: X.509 in PEM, as it stands in an image's signature section or in a file of the user's. The
 * runtime's own X.509 (BoringSSL) reads it; nothing of it is taken on trust before that.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import { EifError } from "../format/reader.ts";

/** The algorithm of COSE that goes with a key's curve. Source: RFC 9053, section 2.1. */
export interface SigningAlgorithm {
  readonly name: "ES256" | "ES384" | "ES512";
  /** As people name the curve, and as OpenSSL does. */
  readonly curve: "P-256" | "P-384" | "P-521";
  readonly openssl: "prime256v1" | "secp384r1" | "secp521r1";
  /** The algorithm's number in a COSE header. */
  readonly cose: -7 | -35 | -36;
  readonly hash: "sha256" | "sha384" | "sha512";
  /** Bytes of R, and of S. */
  readonly halfBytes: number;
}

/** The algorithms that an image can be signed with. */
export const SIGNING_ALGORITHMS: readonly SigningAlgorithm[] = [
  { name: "ES256", curve: "P-256", openssl: "prime256v1", cose: -7, hash: "sha256", halfBytes: 32 },
  { name: "ES384", curve: "P-384", openssl: "secp384r1", cose: -35, hash: "sha384", halfBytes: 48 },
  { name: "ES512", curve: "P-521", openssl: "secp521r1", cose: -36, hash: "sha512", halfBytes: 66 },
];

/** A certificate that has been read. */
export interface Certificate {
  /** The PEM block, its two lines included, as it stood. */
  readonly pem: string;
  readonly der: Uint8Array;
  /** Attributes of the issuer by their long names (`commonName`), as AWS's describe-eif has them. */
  readonly issuer: Readonly<Record<string, string>>;
  /** One line: `CN=…, O=…`. */
  readonly subject: string;
  /** OpenSSL's long name of the algorithm that the certificate itself is signed with. */
  readonly signedWith: string;
  readonly signature: Uint8Array;
  readonly notBefore: CertificateDate;
  readonly notAfter: CertificateDate;
  readonly publicKey: KeyObject;
  /** What its key signs images with; undefined for any other kind of key. */
  readonly algorithm: SigningAlgorithm | undefined;
  /** Bytes of the PEM text that stand after the block, blanks apart. */
  readonly trailing: number;
}

/** A date of a certificate: the time, and as OpenSSL writes it (`Nov  5 04:41:51 2026 GMT`). */
export interface CertificateDate {
  readonly time: Date;
  readonly text: string;
}

/** The most that is read as a certificate: what a signature section can hold. */
export const MOST_CERTIFICATE_BYTES = 32768;

/**
 * Reads the first certificate of a PEM text.
 * @param where how a message names it. Throws EifError.
 */
export function readCertificate(text: Uint8Array, where: string): Certificate {
  const { pem, der, trailing } = firstBlock(text, where);
  const x509 = reading(where, () => new X509Certificate(der));
  const publicKey = reading(where, () => x509.publicKey);
  const names = reading(where, () => x509.toLegacyObject());
  // What was parsed is encoded again: other bytes tell of an encoding that is not DER, or of something after it.
  if (!equal(x509.raw, der))
    throw new EifError(`${where} is not in DER, or something follows it in its block`);
  // Others will read it as the PEM that it is.
  reading(where, () => new X509Certificate(pem));
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

/** Where a certificate stands in time, at `now`. */
export function validityAt(certificate: Certificate, now: Date): "valid" | "expired" | "not yet valid" {
  if (now > certificate.notAfter.time) return "expired";
  return now < certificate.notBefore.time ? "not yet valid" : "valid";
}

/** Two runs of bytes that are the same. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Runs what the runtime does with foreign bytes: whatever it throws is the certificate's problem. */
function reading<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // BoringSSL: error:0c0000b9:ASN.1 encoding routines:OPENSSL_internal:WRONG_TAG
    const reason = error instanceof Error ? (error.message.split(":").at(-1) ?? "") : "";
    throw new EifError(`${where} cannot be read as X.509: ${reason.toLowerCase().replaceAll("_", " ")}`);
  }
}

/** Both of its lines stand alone: what OpenSSL does not take, no other tool will. */
const BLOCK = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]*)^-----END CERTIFICATE-----(?=[ \t\r]*$)/m;

function firstBlock(text: Uint8Array, where: string): { pem: string; der: Uint8Array; trailing: number } {
  if (text.length > MOST_CERTIFICATE_BYTES) {
    throw new EifError(`${where} has ${text.length} bytes, at most ${MOST_CERTIFICATE_BYTES} are read`);
  }
  const latin1 = Buffer.from(text).toString("latin1");
  const match = BLOCK.exec(latin1);
  if (match === null) {
    throw new EifError(`${where} has no block from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----`);
  }
  const base64 = (match[1] ?? "").replace(/\s/g, "");
  try {
    const der = Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
    const trailing = latin1.slice(match.index + match[0].length).trim().length;
    return { pem: `${match[0]}\n`, der, trailing };
  } catch {
    throw new EifError(`${where} has a block that is not base64`);
  }
}

/** OpenSSL's long names (include/openssl/obj_mac.h) of the attributes that certificates have. */
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

/** Sorted by name; of an attribute that is there several times the last counts, as with AWS's tool. */
function longNames(names: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const pairs = Object.entries(names).map(([name, value]): [string, string] => [
    LONG_NAMES[name] ?? name,
    String(Array.isArray(value) ? value.at(-1) : value),
  ]);
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function readDate(text: string, where: string): CertificateDate {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new EifError(`${where} has a date that is none: ${text}`);
  return { time, text };
}

/**
 * The certificate's own signature: the last element of the outer sequence, a bit string. The runtime has read the whole
 * by now and does not give this away. Source: RFC 5280, section 4.1.
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

/** An element of DER: its tag, where its content begins and where it ends. A length has at most three bytes here. */
function element(der: Uint8Array, at: number): { tag: number; content: number; end: number } {
  const first = der[at + 1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  let length = count === 0 ? first : 0;
  for (let i = 0; i < Math.min(count, 3); i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  const content = at + 2 + count;
  return { tag: der[at] ?? 0, content, end: content + length };
}
