/**
 * The signature section of an EIF: a CBOR array of maps, of which the first counts, with a certificate in PEM and a
 * COSE_Sign1 over PCR0, both as arrays of integers. Sources: aws/aws-nitro-enclaves-image-format (README.md,
 * EifSectionSignature), RFC 9052 (COSE), RFC 9053 (ECDSA). cborg does the CBOR, the runtime the ECDSA.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { decode, encode } from "cborg";
import { EIF_SIGNATURE_MAX_BYTES } from "../format/layout.ts";
import { EifError } from "../format/reader.ts";
import { type Certificate, equal, readCertificate, type SigningAlgorithm } from "./certificate.ts";

/** A signature section that has been read; whether it holds is another question. */
export interface ImageSignature {
  readonly certificate: Certificate;
  /** The COSE header that is signed, as its bytes stand. */
  readonly protectedHeader: Uint8Array;
  /** The algorithm that this header names. */
  readonly algorithm: number;
  /** What is signed, as its bytes stand: which PCR, and its value. */
  readonly payload: Uint8Array;
  readonly pcrIndex: number;
  readonly pcr: Uint8Array;
  /** R and S, one after the other. */
  readonly signature: Uint8Array;
}

/** The COSE tag of a COSE_Sign1 (RFC 9052, section 2), which may stand before it. */
const COSE_SIGN1_TAG = 18;
/** The label of the algorithm in a COSE header (RFC 9052, section 3.1). */
const ALGORITHM_LABEL = 1;

/**
 * Reads a signature section's payload.
 * @param where how a message names the section. Throws EifError.
 */
export function readSignature(section: Uint8Array, where: string): ImageSignature {
  if (section.length > EIF_SIGNATURE_MAX_BYTES) {
    throw new EifError(
      `${where} has ${section.length} bytes, at most ${EIF_SIGNATURE_MAX_BYTES} are allowed`,
    );
  }
  const entry = (decoded(section, where) as readonly unknown[] | null)?.[0];
  if (!(entry instanceof Map)) throw new EifError(`${where} is not a CBOR array of maps`);
  const pem = bytesOf(entry.get("signing_certificate"), `signing_certificate of ${where}`);
  const cose = bytesOf(entry.get("signature"), `signature of ${where}`);
  return { ...readCose(cose, where), certificate: readCertificate(pem, `the certificate of ${where}`) };
}

function readCose(cose: Uint8Array, where: string): Omit<ImageSignature, "certificate"> {
  const name = `the COSE_Sign1 of ${where}`;
  const parts = decoded(cose, name);
  if (!Array.isArray(parts) || parts.length !== 4) throw new EifError(`${name} is not an array of four`);
  const [protectedHeader, , payload, signature] = parts as readonly unknown[];
  if (![protectedHeader, payload, signature].every((part) => part instanceof Uint8Array)) {
    throw new EifError(`${name} lacks a byte string: header, payload and signature are three`);
  }
  const [header, content, raw] = [protectedHeader, payload, signature] as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const headers = decoded(header, `the header of ${name}`);
  const algorithm: unknown = headers instanceof Map ? headers.get(ALGORITHM_LABEL) : undefined;
  if (typeof algorithm !== "number") throw new EifError(`the header of ${name} names no algorithm`);
  const registers = decoded(content, `the payload of ${name}`);
  const register = registers instanceof Map ? registers : new Map<unknown, unknown>();
  const pcrIndex: unknown = register.get("register_index");
  if (typeof pcrIndex !== "number") throw new EifError(`the payload of ${name} has no register_index`);
  const pcr = bytesOf(register.get("register_value"), `register_value of ${name}`);
  return { protectedHeader: header, algorithm, payload: content, pcrIndex, pcr, signature: raw };
}

/** Why a signature does not hold, or undefined where it does. @param pcr0 as it was measured. */
export function whyNotHolding(signature: ImageSignature, pcr0: Uint8Array): string | undefined {
  const { certificate, algorithm } = signature;
  const own = certificate.algorithm;
  if (own === undefined) return "the certificate's key is not an EC key of P-256, P-384 or P-521";
  if (algorithm !== own.cose) {
    return `it names algorithm ${algorithm}, the certificate's ${own.curve} key signs with ${own.name} (${own.cose})`;
  }
  if (signature.pcrIndex !== 0) return `it signs PCR${signature.pcrIndex}, not PCR0`;
  if (!verifies(certificate.publicKey, own, structureOf(signature), signature.signature)) {
    return "it was not made by the certificate's key, or over other content";
  }
  return equal(signature.pcr, pcr0) ? undefined : "it signs another PCR0 than this image has";
}

/** What is signed for an image, by one algorithm: its header, its payload, and the bytes that are hashed and signed. */
export interface ToBeSigned {
  readonly algorithm: SigningAlgorithm;
  readonly protectedHeader: Uint8Array;
  readonly payload: Uint8Array;
  /** The Sig_structure of RFC 9052, section 4.4. */
  readonly structure: Uint8Array;
}

/** For an image with this PCR0. */
export function toBeSigned(algorithm: SigningAlgorithm, pcr0: Uint8Array): ToBeSigned {
  const protectedHeader = encode(new Map([[ALGORITHM_LABEL, algorithm.cose]]));
  const payload = encode(
    new Map<string, unknown>([
      ["register_index", 0],
      ["register_value", Array.from(pcr0)],
    ]),
    IN_ORDER,
  );
  return { algorithm, protectedHeader, payload, structure: structureOf({ protectedHeader, payload }) };
}

/** A section's payload. @param signature R and S, one after the other. */
export function encodeSignature(
  certificate: Certificate,
  what: ToBeSigned,
  signature: Uint8Array,
): Uint8Array {
  const cose = encode([what.protectedHeader, new Map(), what.payload, signature]);
  const pem = new TextEncoder().encode(certificate.pem);
  const entry = new Map([
    ["signing_certificate", Array.from(pem)],
    ["signature", Array.from(cose)],
  ]);
  const section = encode([entry], IN_ORDER);
  if (section.length > EIF_SIGNATURE_MAX_BYTES) {
    throw new EifError(
      `the signature section would have ${section.length} bytes, at most ${EIF_SIGNATURE_MAX_BYTES} are ` +
        "allowed: the certificate is too long",
    );
  }
  return section;
}

/** A private key in PEM; undefined for what is none, or needs a pass phrase. */
export function readPrivateKey(pem: Uint8Array): KeyObject | undefined {
  try {
    return createPrivateKey({ key: Buffer.from(pem), format: "pem" });
  } catch {
    return undefined;
  }
}

/** Whether a private key is the certificate's. */
export function belongsTo(key: KeyObject, certificate: Certificate): boolean {
  return createPublicKey(key).equals(certificate.publicKey);
}

/** Signs with a private key: R and S, one after the other. */
export function signWith(key: KeyObject, { algorithm, structure }: ToBeSigned): Uint8Array {
  return new Uint8Array(sign(algorithm.hash, structure, { key, dsaEncoding: "ieee-p1363" }));
}

/**
 * A signature that was made elsewhere, as R and S one after the other or in DER, brought into the former and checked
 * against the certificate. Undefined where it is not that certificate's signature over these bytes.
 */
export function acceptSignature(
  certificate: Certificate,
  { algorithm, structure }: ToBeSigned,
  signature: Uint8Array,
): Uint8Array | undefined {
  const forms = [signature, plainSignature(signature, algorithm.halfBytes)];
  return forms.find(
    (form) => form !== undefined && verifies(certificate.publicKey, algorithm, structure, form),
  );
}

/** R and S out of an ECDSA-Sig-Value in DER (RFC 3279, section 2.2.3); undefined for what is none. */
function plainSignature(der: Uint8Array, halfBytes: number): Uint8Array | undefined {
  // SEQUENCE of at most 3 + 2 * (2 + 67) bytes: its length has one byte, or a second after 0x81.
  const head = der[1] === 0x81 ? 3 : 2;
  if (der[0] !== 0x30 || der[head - 1] !== der.length - head) return undefined;
  const plain = new Uint8Array(2 * halfBytes);
  let at = head;
  for (const end of [halfBytes, 2 * halfBytes]) {
    const length = der[at + 1] ?? 0;
    let digits = der.subarray(at + 2, at + 2 + length);
    if (der[at] !== 0x02 || length === 0 || digits.length !== length) return undefined;
    while (digits.length > 1 && digits[0] === 0) digits = digits.subarray(1);
    if (digits.length > halfBytes) return undefined;
    plain.set(digits, end - digits.length);
    at += 2 + length;
  }
  return at === der.length ? plain : undefined;
}

function verifies(
  publicKey: KeyObject,
  algorithm: SigningAlgorithm,
  structure: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 2 * algorithm.halfBytes) return false;
  try {
    return verify(algorithm.hash, structure, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

function structureOf(of: { readonly protectedHeader: Uint8Array; readonly payload: Uint8Array }): Uint8Array {
  return encode(["Signature1", of.protectedHeader, new Uint8Array(0), of.payload]);
}

/** Keys stay in the order in which AWS's tools write them; cborg would sort them. */
const IN_ORDER = { mapSorter: () => 0 };

function decoded(bytes: Uint8Array, where: string): unknown {
  try {
    return decode(bytes, {
      useMaps: true,
      rejectDuplicateMapKeys: true,
      allowUndefined: false,
      allowBigInt: false,
      tags: { [COSE_SIGN1_TAG]: (content) => content() },
    });
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CBOR decode error: /, "") : String(error);
    throw new EifError(`${where} cannot be read as CBOR: ${why}`);
  }
}

function bytesOf(value: unknown, what: string): Uint8Array {
  if (!Array.isArray(value)) throw new EifError(`${what} is not an array of integers`);
  const isByte = (item: unknown) => Number.isInteger(item) && Number(item) >= 0 && Number(item) <= 255;
  const odd = value.findIndex((item) => !isByte(item));
  if (odd !== -1) throw new EifError(`${what} holds what is no byte, at place ${odd}`);
  return Uint8Array.from(value as readonly number[]);
}
