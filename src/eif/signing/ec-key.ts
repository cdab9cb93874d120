/**
 * EC keys in the forms that OpenSSL reads and the runtime's BoringSSL does not: explicit curve parameters (RFC 3279,
 * section 2.3.5), a compressed generator, and points in hybrid form (X9.62, section 4.3.6). They are encoded again with
 * the curve's name.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { DER_TAG, type DerElement, derBytes, derChildren, derContent, derElement, encodeDer } from "./der.ts";

/** Object identifiers, encoded: id-ecPublicKey, and the curves of image signatures (RFC 5480, section 2.1.1). */
const EC_PUBLIC_KEY = oid("06072a8648ce3d0201");
const CURVES = {
  prime256v1: oid("06082a8648ce3d030107"),
  secp384r1: oid("06052b81040022"),
  secp521r1: oid("06052b81040023"),
} as const;
type CurveName = keyof typeof CURVES;
const CURVE_NAMES = Object.keys(CURVES) as CurveName[];

const ONE = Uint8Array.of(1);
/** The first byte of a point (X9.62, section 4.3.6); the lowest bit of 2 and 6 is set if y is odd. */
const POINT = { compressed: 2, uncompressed: 4, hybrid: 6 } as const;

function oid(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex);
}

/** Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1). Returns undefined if its key is of no supported kind. */
export function readPublicKey(spki: Uint8Array): KeyObject | undefined {
  return publicKey(spki) ?? attempt(() => publicKey(namedPublicKey(spki)));
}

/**
 * Reads an ECPrivateKey (RFC 5915), or one in a PrivateKeyInfo (RFC 5208), that the runtime does not read. Returns
 * undefined if it is neither, or its curve is of no supported kind.
 */
export function readEcPrivateKey(der: Uint8Array): KeyObject | undefined {
  return attempt(() => {
    const [, algorithm, wrapped] = derChildren(der, derElement(der, 0));
    if (wrapped === undefined || algorithm?.tag !== DER_TAG.sequence) return namedPrivateKey(der, undefined);
    return namedPrivateKey(derContent(der, wrapped), derBytes(der, parametersOf(der, algorithm)));
  });
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function publicKey(spki: Uint8Array): KeyObject | undefined {
  return attempt(() => createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }));
}

/** Passes the key as PEM: only there does the runtime accept an ECPrivateKey that lacks its public key. */
function privateKey(sec1: Uint8Array): KeyObject {
  return createPrivateKey(
    `-----BEGIN EC PRIVATE KEY-----\n${sec1.toBase64()}\n-----END EC PRIVATE KEY-----\n`,
  );
}

/** Returns the parameters of an AlgorithmIdentifier for EC keys. Throws RangeError. */
function parametersOf(der: Uint8Array, algorithm: DerElement): DerElement {
  const [name, parameters] = derChildren(der, algorithm);
  if (name === undefined || parameters === undefined || !same(derBytes(der, name), EC_PUBLIC_KEY))
    throw new RangeError("not an EC key");
  return parameters;
}

function namedPublicKey(spki: Uint8Array): Uint8Array {
  const [algorithm, bits] = derChildren(spki, derElement(spki, 0));
  if (algorithm === undefined || bits === undefined) throw new RangeError("not a public key");
  const curve = curveOf(derBytes(spki, parametersOf(spki, algorithm)));
  // The first byte of a bit string is the number of unused bits.
  const point = plainPoint(derContent(spki, bits).subarray(1));
  return encodeDer(
    DER_TAG.sequence,
    encodeDer(DER_TAG.sequence, EC_PUBLIC_KEY, CURVES[curve]),
    encodeDer(DER_TAG.bitString, Uint8Array.of(0), point),
  );
}

/** @param parameters of the PrivateKeyInfo around the ECPrivateKey; used if the ECPrivateKey itself has none. */
function namedPrivateKey(sec1: Uint8Array, parameters: Uint8Array | undefined): KeyObject {
  const children = derChildren(sec1, derElement(sec1, 0));
  const [, scalar] = children;
  const own = children.find(({ tag }) => tag === DER_TAG.context0);
  const given = own === undefined ? parameters : derContent(sec1, own);
  if (scalar?.tag !== DER_TAG.octetString || given === undefined) throw new RangeError("not an EC key");
  return privateKey(encodePrivateKey(derContent(sec1, scalar), CURVES[curveOf(given)]));
}

function encodePrivateKey(scalar: Uint8Array, parameters: Uint8Array): Uint8Array {
  return encodeDer(
    DER_TAG.sequence,
    encodeDer(DER_TAG.integer, ONE),
    encodeDer(DER_TAG.octetString, scalar),
    encodeDer(DER_TAG.context0, parameters),
  );
}

/** Returns the point without the hybrid form, in which both y and its lowest bit are given. Throws RangeError. */
function plainPoint(point: Uint8Array): Uint8Array {
  const [form = 0, last = 0] = [point[0], point.at(-1)];
  if (form < POINT.hybrid || form > POINT.hybrid + 1) return point;
  if (((form ^ last) & 1) !== 0) throw new RangeError("a point whose two forms differ");
  return Uint8Array.of(POINT.uncompressed, ...point.subarray(1));
}

/** Returns the curve that ECParameters name or describe. Throws RangeError if it is not a supported one. */
function curveOf(parameters: Uint8Array): CurveName {
  const named = CURVE_NAMES.find((name) => same(parameters, CURVES[name]));
  const found = named ?? CURVE_NAMES.find((name) => describes(parameters, name));
  if (found === undefined) throw new RangeError("another curve");
  return found;
}

/**
 * Whether explicit parameters are those of a curve, its generator included. BoringSSL accepts explicit parameters in a
 * private key, for the sake of old ones, and compares every number with the curves that it has
 * (EC_KEY_parse_parameters); so it is handed the key whose public point is the generator.
 */
function describes(parameters: Uint8Array, curve: CurveName): boolean {
  const named = privateKey(encodePrivateKey(ONE, CURVES[curve]));
  const explicit = attempt(() =>
    privateKey(encodePrivateKey(ONE, withPlainGenerator(parameters, generatorOf(named)))),
  );
  return explicit?.equals(named) === true;
}

/** The public point of the key 1, uncompressed. */
function generatorOf(key: KeyObject): Uint8Array {
  const spki = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  const [, bits] = derChildren(spki, derElement(spki, 0));
  if (bits === undefined) throw new RangeError("not a public key");
  return derContent(spki, bits).subarray(1);
}

/** Returns explicit parameters with the generator uncompressed, if that is the curve's. Throws RangeError. */
function withPlainGenerator(parameters: Uint8Array, generator: Uint8Array): Uint8Array {
  const parts = derChildren(parameters, derElement(parameters, 0));
  // ECParameters: version, fieldID, curve, base, order, cofactor.
  const base = parts[3];
  if (base === undefined) throw new RangeError("not explicit parameters");
  const point = plainPoint(derContent(parameters, base));
  const isCompressed = same(point, compressed(generator));
  return encodeDer(
    DER_TAG.sequence,
    ...parts.map((part) =>
      part === base
        ? encodeDer(DER_TAG.octetString, isCompressed ? generator : point)
        : derBytes(parameters, part),
    ),
  );
}

function compressed(point: Uint8Array): Uint8Array {
  const x = point.subarray(1, (point.length + 1) / 2);
  return Uint8Array.of(POINT.compressed | ((point.at(-1) ?? 0) & 1), ...x);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
