/**
 * The signature section of an EIF: a CBOR array of maps, of which the first counts; each contains a certificate in PEM
 * and a COSE_Sign1 over PCR0, both as arrays of integers. Sources: aws/aws-nitro-enclaves-image-format (README.md,
 * EifSectionSignature), RFC 9052 (COSE), RFC 9053 (ECDSA). cborg implements CBOR, the runtime ECDSA.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { decode, encode } from "cborg";
import { EIF_SIGNATURE_MAX_BYTES } from "../format/layout.ts";
import { EifError } from "../format/reader.ts";
import {
  equalBytes,
  readCertificate,
  type SigningAlgorithm,
  type SigningCertificate,
} from "./certificate.ts";
import { readEcPrivateKey } from "./ec-key.ts";
import { readPemBlock } from "./pem.ts";

/** A COSE_Sign1 structure (RFC 9052, section 4.2) over a PCR. */
export interface CoseSign1 {
  /** The signed header, encoded. */
  readonly protectedHeader: Uint8Array;
  /** The algorithm in this header. */
  readonly algorithm: number;
  /** The signed PCR, encoded. */
  readonly payload: Uint8Array;
  readonly pcrIndex: number;
  readonly pcr: Uint8Array;
  /** R and S, concatenated. */
  readonly signature: Uint8Array;
}

/** A parsed signature section; signatureProblem checks whether its signature is valid. */
export interface SignatureSection {
  readonly certificate: SigningCertificate;
  readonly sign1: CoseSign1;
}

/** The tag that may precede a COSE_Sign1 (RFC 9052, section 2). */
const COSE_SIGN1_TAG = 18;
/** The label of the algorithm in a COSE header (RFC 9052, section 3.1). */
const ALGORITHM_LABEL = 1;

/**
 * Parses a signature section's payload.
 * @param where how messages name the section. Throws EifError.
 */
export function readSignatureSection(section: Uint8Array, where: string): SignatureSection {
  if (section.length > EIF_SIGNATURE_MAX_BYTES) {
    throw new EifError(
      `${where} has ${section.length} bytes; at most ${EIF_SIGNATURE_MAX_BYTES} are allowed`,
    );
  }
  const entry = (decoded(section, where) as readonly unknown[] | null)?.[0];
  if (!(entry instanceof Map)) throw new EifError(`${where} is not a CBOR array of maps`);
  const pem = bytesOf(entry.get("signing_certificate"), `signing_certificate of ${where}`);
  const cose = bytesOf(entry.get("signature"), `signature of ${where}`);
  return {
    sign1: readSign1(cose, `the COSE_Sign1 of ${where}`),
    certificate: readCertificate(pem, `the certificate of ${where}`),
  };
}

function readSign1(cose: Uint8Array, name: string): CoseSign1 {
  const items = decoded(cose, name);
  if (!Array.isArray(items) || items.length !== 4)
    throw new EifError(`${name} is not an array of four items`);
  const [protectedHeader, , payload, signature] = items as readonly unknown[];
  if (
    !(protectedHeader instanceof Uint8Array) ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array)
  ) {
    throw new EifError(`${name} has a header, payload or signature that is not a byte string`);
  }
  const headers = decoded(protectedHeader, `the header of ${name}`);
  const algorithm: unknown = headers instanceof Map ? headers.get(ALGORITHM_LABEL) : undefined;
  if (typeof algorithm !== "number") throw new EifError(`the header of ${name} names no algorithm`);
  const registers = decoded(payload, `the payload of ${name}`);
  const register = registers instanceof Map ? registers : new Map<unknown, unknown>();
  const pcrIndex: unknown = register.get("register_index");
  if (typeof pcrIndex !== "number") throw new EifError(`the payload of ${name} has no register_index`);
  const pcr = bytesOf(register.get("register_value"), `register_value of ${name}`);
  return { protectedHeader, algorithm, payload, pcrIndex, pcr, signature };
}

/** Returns why a signature is not valid, or undefined if it is. @param pcr0 the image's actual PCR0. */
export function signatureProblem(
  { certificate, sign1 }: SignatureSection,
  pcr0: Uint8Array,
): string | undefined {
  const own = certificate.algorithm;
  if (own === undefined) return "the certificate's key is not an EC key of P-256, P-384 or P-521";
  if (sign1.algorithm !== own.cose) {
    return (
      `it names algorithm ${sign1.algorithm}, ` +
      `but the certificate's ${own.curve} key signs with ${own.name} (${own.cose})`
    );
  }
  if (sign1.pcrIndex !== 0) return `it signs PCR${sign1.pcrIndex}, not PCR0`;
  if (!verifies(certificate.publicKey, own, sigStructure(sign1), sign1.signature)) {
    return "it does not match the certificate's key, or its content was changed";
  }
  return equalBytes(sign1.pcr, pcr0) ? undefined : "it signs a PCR0 that is not this image's";
}

/** What is signed for an image by one algorithm. */
export interface ToBeSigned {
  readonly algorithm: SigningAlgorithm;
  readonly protectedHeader: Uint8Array;
  readonly payload: Uint8Array;
  /** The bytes that are hashed and signed: the Sig_structure of RFC 9052, section 4.4. */
  readonly structure: Uint8Array;
}

/** Returns what is signed for an image with this PCR0. */
export function toBeSigned(algorithm: SigningAlgorithm, pcr0: Uint8Array): ToBeSigned {
  const protectedHeader = encode(new Map([[ALGORITHM_LABEL, algorithm.cose]]));
  const payload = encode(
    new Map<string, unknown>([
      ["register_index", 0],
      ["register_value", Array.from(pcr0)],
    ]),
    IN_ORDER,
  );
  return { algorithm, protectedHeader, payload, structure: sigStructure({ protectedHeader, payload }) };
}

/**
 * Encodes a signature section's payload. @param signature R and S, concatenated. Throws EifError if it is too large.
 */
export function encodeSignatureSection(
  certificate: SigningCertificate,
  { protectedHeader, payload }: ToBeSigned,
  signature: Uint8Array,
): Uint8Array {
  const cose = encode([protectedHeader, new Map(), payload, signature]);
  const pem = new TextEncoder().encode(certificate.pem);
  const entry = new Map([
    ["signing_certificate", Array.from(pem)],
    ["signature", Array.from(cose)],
  ]);
  const section = encode([entry], IN_ORDER);
  if (section.length > EIF_SIGNATURE_MAX_BYTES) {
    throw new EifError(
      `the signature section would have ${section.length} bytes, more than the limit of ` +
        `${EIF_SIGNATURE_MAX_BYTES}: the certificate is too large`,
    );
  }
  return section;
}

/** The labels of an unencrypted EC key (include/openssl/pem.h). */
const KEY_LABELS = ["EC PRIVATE KEY", "PRIVATE KEY"] as const;

/** Parses a private key in PEM. Returns undefined if it is not one, or needs a passphrase. */
export function readPrivateKey(pem: Uint8Array): KeyObject | undefined {
  try {
    return createPrivateKey({ key: Buffer.from(pem), format: "pem" });
  } catch {
    try {
      return readEcPrivateKey(readPemBlock(pem, KEY_LABELS, "the key has").bytes);
    } catch {
      return undefined;
    }
  }
}

/** Whether a private key belongs to a certificate. */
export function belongsTo(key: KeyObject, { publicKey }: SigningCertificate): boolean {
  return publicKey !== undefined && createPublicKey(key).equals(publicKey);
}

/** Signs with a private key. Returns R and S, concatenated. */
export function signWith(key: KeyObject, { algorithm, structure }: ToBeSigned): Uint8Array {
  return new Uint8Array(sign(algorithm.hash, structure, { key, dsaEncoding: "ieee-p1363" }));
}

/**
 * Checks a signature that is R and S concatenated, or DER, against the certificate. Returns it as R and S, or undefined
 * if it is not that certificate's signature over these bytes.
 */
export function acceptSignature(
  certificate: SigningCertificate,
  { algorithm, structure }: ToBeSigned,
  signature: Uint8Array,
): Uint8Array | undefined {
  const forms = [signature, plainSignature(signature, algorithm.halfBytes)];
  return forms.find(
    (form) => form !== undefined && verifies(certificate.publicKey, algorithm, structure, form),
  );
}

/** Returns R and S of an ECDSA-Sig-Value in DER (RFC 3279, section 2.2.3); undefined if it is not one. */
function plainSignature(der: Uint8Array, halfBytes: number): Uint8Array | undefined {
  // A SEQUENCE of at most 3 + 2 * (2 + 67) bytes: its length has one byte, or two of which the first is 0x81.
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
  publicKey: KeyObject | undefined,
  algorithm: SigningAlgorithm,
  structure: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey === undefined || signature.length !== 2 * algorithm.halfBytes) return false;
  try {
    return verify(algorithm.hash, structure, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

function sigStructure({
  protectedHeader,
  payload,
}: Pick<CoseSign1, "protectedHeader" | "payload">): Uint8Array {
  return encode(["Signature1", protectedHeader, new Uint8Array(0), payload]);
}

/** Keeps the keys in the order of AWS's tools; cborg would sort them. */
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
    throw new EifError(`${where} is not valid CBOR: ${why}`);
  }
}

function bytesOf(value: unknown, what: string): Uint8Array {
  if (!Array.isArray(value)) throw new EifError(`${what} is not an array of integers`);
  const isByte = (item: unknown) => Number.isInteger(item) && Number(item) >= 0 && Number(item) <= 255;
  const odd = value.findIndex((item) => !isByte(item));
  if (odd !== -1) throw new EifError(`${what} has an item that is not a byte, at index ${odd}`);
  return Uint8Array.from(value as readonly number[]);
}
