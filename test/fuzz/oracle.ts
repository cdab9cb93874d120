/**
 * The expected outcome for a file: an independent reader of EIFs, however broken, written from the format's
 * specification. It shares no code with nitro.
 */
import { createHash, verify as verifies, X509Certificate } from "node:crypto";
import { crc32 } from "node:zlib";
import { type Item, readCbor } from "../unit/eif/cbor.ts";

export interface Part {
  readonly type: number;
  readonly payload: Buffer;
}

/** A file that follows every rule of the format except perhaps the CRC, or the first rule that it violates. */
export type Reading =
  | { readonly broken: string }
  | {
      readonly broken?: undefined;
      readonly version: number;
      readonly arm: boolean;
      readonly parts: readonly Part[];
      readonly crcHolds: boolean;
      readonly pcrs: readonly [string, string, string];
    };

const [KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA] = [1, 2, 3, 4, 5];

function pcrOf(content: readonly Buffer[]): string {
  const inner = createHash("sha384");
  for (const part of content) inner.update(part);
  return createHash("sha384").update(new Uint8Array(48)).update(inner.digest()).digest("hex");
}

/** Reads a file by the rules of AWS's specification. */
export function readAny(file: Uint8Array): Reading {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.length < 548 || bytes.toString("latin1", 0, 4) !== ".eif") return { broken: "header" };
  const [version, flags, count] = [4, 6, 26].map((at) => bytes.readUInt16BE(at)) as [number, number, number];
  if (version < 2 || version > 4) return { broken: "version" };
  if (count < 2 || count > 32) return { broken: "count" };
  const parts: Part[] = [];
  let end = 548n;
  for (let i = 0; i < count; i++) {
    const [at, size] = [bytes.readBigUInt64BE(28 + 8 * i), bytes.readBigUInt64BE(284 + 8 * i)];
    if (at < end || at + 12n > BigInt(bytes.length)) return { broken: `offset ${i}` };
    const begin = Number(at);
    const [type, own] = [bytes.readUInt16BE(begin), bytes.readBigUInt64BE(begin + 4)];
    if (type < 1 || type > 5) return { broken: `type ${i}` };
    if (own !== size && type !== SIGNATURE) return { broken: `sizes ${i}` };
    if (at + 12n + own > BigInt(bytes.length)) return { broken: `size ${i}` };
    end = at + 12n + own;
    parts.push({ type, payload: bytes.subarray(begin + 12, Number(end)) });
  }
  const rule = brokenRule(version, parts);
  if (rule !== undefined) return { broken: rule };
  const crc = crc32(bytes.subarray(548), crc32(bytes.subarray(0, 544)));
  const of = (...types: number[]) => parts.filter(({ type }) => types.includes(type)).map((p) => p.payload);
  const [KCR, KC] = [of(KERNEL ?? 0, CMDLINE ?? 0, RAMDISK ?? 0), parts];
  const [first, ...others] = of(RAMDISK ?? 0);
  const boot = KC.filter(
    ({ type, payload }) => type === KERNEL || type === CMDLINE || (type === RAMDISK && payload === first),
  ).map((p) => p.payload);
  return {
    ...{ version, arm: (flags & 1) !== 0, parts, crcHolds: crc === bytes.readUInt32BE(544) },
    pcrs: [pcrOf(KCR), pcrOf(boot), pcrOf(others)],
  };
}

/** Whether AWS's reader finds sections one after another, of any version and whatever the header lists. */
export function readsInSequence(file: Uint8Array): boolean {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.length < 548 || bytes.toString("latin1", 0, 4) !== ".eif") return false;
  let at = 548n;
  for (; at + 12n <= BigInt(bytes.length); ) {
    const [type, size] = [bytes.readUInt16BE(Number(at)), bytes.readBigUInt64BE(Number(at) + 4)];
    if (type < 1 || type > 5 || at + 12n + size > BigInt(bytes.length)) return false;
    at += 12n + size;
  }
  return true;
}

function brokenRule(version: number, parts: readonly Part[]): string | undefined {
  const places = (wanted: number | undefined) => parts.flatMap(({ type }, i) => (type === wanted ? [i] : []));
  const [kernels, cmdlines, ramdisks] = [places(KERNEL), places(CMDLINE), places(RAMDISK)];
  const [signatures, metadata] = [places(SIGNATURE), places(METADATA)];
  if (kernels.length !== 1 || cmdlines.length !== 1) return "one kernel, one command line";
  if (signatures.length > 1 || metadata.length > 1) return "one signature, one metadata";
  if (version < 4 ? metadata.length > 0 : metadata.length === 0) return "metadata";
  if (version < 3 && signatures.length > 0) return "signature of version 2";
  if (ramdisks.some((at) => at < (kernels[0] ?? 0))) return "a ramdisk before the kernel";
  if ((parts[signatures[0] ?? -1]?.payload.length ?? 0) > 32768) return "length of the signature";
  // nitro's own limit: AWS's tools have none, and write some kilobytes.
  return (parts[metadata[0] ?? -1]?.payload.length ?? 0) > 1048576 ? "length of the metadata" : undefined;
}

/** Returns the payload of the first section of a type. */
export function partOf(reading: Reading, type: "kernel" | "signature" | "metadata"): Buffer | undefined {
  if (reading.broken !== undefined) return undefined;
  const number = { kernel: KERNEL, signature: SIGNATURE, metadata: METADATA }[type];
  return reading.parts.find((part) => part.type === number)?.payload;
}

const HASHES = new Map([
  [-7, ["sha256", "prime256v1"]],
  [-35, ["sha384", "secp384r1"]],
  [-36, ["sha512", "secp521r1"]],
]);

function field(item: Item | undefined, key: number | string): Item | undefined {
  if (item === undefined || typeof item !== "object" || !("pairs" in item)) return undefined;
  return item.pairs.find(([name]) => name === key)?.[1];
}

const bytesOf = (item: Item | undefined) =>
  item instanceof Uint8Array ? item : Uint8Array.from((item ?? []) as readonly number[]);

/** Encodes the Sig_structure of RFC 9052 with the two byte strings that are signed. */
function structure(header: Uint8Array, payload: Uint8Array): Buffer {
  const head = (major: number, n: number) =>
    n < 24 ? [major | n] : n < 256 ? [major | 24, n] : [major | 25, n >> 8, n & 255];
  const text = [0x6a, ...Buffer.from("Signature1")];
  const parts = [0x84, ...text, ...head(0x40, header.length), ...header, 0x40];
  return Buffer.from([...parts, ...head(0x40, payload.length), ...payload]);
}

/** Reads a certificate in PEM; OpenSSL reads forms that the runtime does not. Throws if neither reads it. */
export function certificateIn(pem: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    const { exitCode, stdout } = Bun.spawnSync(["openssl", "x509", "-outform", "DER"], { stdin: pem });
    if (exitCode !== 0) throw new Error("OpenSSL does not read it");
    return new X509Certificate(stdout);
  }
}

/**
 * Whether a signature is valid, for a section that nitro accepts.
 * @param pcr0 that it must sign; undefined for any.
 */
export function signatureHolds(
  section: Uint8Array,
  pcr0: string | undefined,
): { holds: boolean; x509: X509Certificate } {
  const outer = readCbor(section) as readonly Item[];
  const pem = Buffer.from(bytesOf(field(outer[0], "signing_certificate"))).toString("latin1");
  const sign1 = bytesOf(field(outer[0], "signature"));
  const cose = readCbor(sign1[0] === 0xd2 ? sign1.subarray(1) : sign1) as readonly Item[];
  const [header, payload, signature] = [0, 2, 3].map((i) => bytesOf(cose[i])) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const x509 = certificateIn(Buffer.from(pem, "latin1"));
  const key = x509.publicKey;
  const [hash = "", curve] = HASHES.get(Number(field(readCbor(header), 1))) ?? [];
  const registers = readCbor(payload);
  const over = Buffer.from(bytesOf(field(registers, "register_value"))).toString("hex");
  const holds =
    key.asymmetricKeyDetails?.namedCurve === curve &&
    field(registers, "register_index") === 0 &&
    (pcr0 === undefined || over === pcr0) &&
    verifies(hash, structure(header, payload), { key, dsaEncoding: "ieee-p1363" }, signature);
  return { holds, x509 };
}
