/**
 * Keys, certificates and signatures by OpenSSL, and signature sections by the tests' own encoder: no code is shared
 * with nitro.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { array, byteString, integer, integers, map, text } from "./cbor.ts";

export const CURVES = {
  "P-256": { openssl: "prime256v1", cose: -7, hash: "sha256", half: 32 },
  "P-384": { openssl: "secp384r1", cose: -35, hash: "sha384", half: 48 },
  "P-521": { openssl: "secp521r1", cose: -36, hash: "sha512", half: 66 },
} as const;
export type Curve = keyof typeof CURVES;
export const CURVE_NAMES = Object.keys(CURVES) as Curve[];

export interface Pair {
  readonly key: string;
  readonly certificate: string;
  readonly curve: Curve;
}

export interface PairOptions {
  readonly name?: string;
  readonly curve?: Curve;
  readonly subject?: string;
  /** YYYYMMDDHHMMSSZ */
  readonly from?: string;
  readonly to?: string;
}

/** A directory with keys, certificates and other files of a test. */
export class SigningPlace implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nitro-signing-"));

  path(name: string): string {
    return join(this.directory, name);
  }

  file(name: string, content: Uint8Array | string): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  openssl(...args: string[]): Buffer {
    const { exitCode, stdout, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: this.directory });
    if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr.toString()}`);
    return stdout;
  }

  /** Creates a key with a self-signed certificate, by default valid from 2020 to 2120. */
  pair(options: PairOptions = {}): Pair {
    const { curve = "P-384", name = curve, subject = "/C=US/O=Example/CN=enclave" } = options;
    const { from = "20200101000000Z", to = "21200101000000Z" } = options;
    const [key, certificate] = [this.path(`${name}.key`), this.path(`${name}.crt`)];
    this.openssl("ecparam", "-name", CURVES[curve].openssl, "-genkey", "-noout", "-out", key);
    this.selfSign(name, key, certificate, { subject, from, to });
    return { key, certificate, curve };
  }

  /** `openssl ca` is the only command that accepts both dates in every OpenSSL 3. */
  selfSign(
    name: string,
    key: string,
    certificate: string,
    about: { subject: string; from: string; to: string },
  ): void {
    const request = this.path(`${name}.csr`);
    this.openssl("req", "-new", "-utf8", "-key", key, "-subj", about.subject, "-out", request);
    this.file(`${name}.db`, "");
    const config = this.file(
      `${name}.cnf`,
      `[ca]\ndefault_ca=it\n[it]\ndatabase=${name}.db\nnew_certs_dir=.\nrand_serial=yes\npolicy=any\n` +
        "email_in_dn=yes\npreserve=yes\nunique_subject=no\n[any]\ncountryName=optional\n" +
        "stateOrProvinceName=optional\nlocalityName=optional\norganizationName=optional\n" +
        "organizationalUnitName=optional\ncommonName=optional\nemailAddress=optional\n",
    );
    const dates = ["-startdate", about.from, "-enddate", about.to];
    const how = ["-selfsign", "-keyfile", key, "-in", request, "-md", "sha384", "-utf8", "-notext"];
    this.openssl("ca", "-batch", "-config", config, ...how, ...dates, "-out", certificate);
  }

  read(path: string): Uint8Array {
    return new Uint8Array(readFileSync(path));
  }

  der(certificate: string): Uint8Array {
    return new Uint8Array(this.openssl("x509", "-in", certificate, "-outform", "DER"));
  }

  /** Signs bytes with `openssl dgst -sign`. Returns R and S. */
  sign(pair: Pair, message: Uint8Array): Uint8Array {
    const file = this.file("message", message);
    const { hash, half } = CURVES[pair.curve];
    const der = this.openssl("dgst", `-${hash}`, "-sign", pair.key, file);
    return plain(der, half);
  }

  /** Whether `openssl dgst -verify` accepts R and S for these bytes. */
  verifies(pair: Pair, message: Uint8Array, signature: Uint8Array): boolean {
    const { hash, half } = CURVES[pair.curve];
    const publicKey = this.file("public", this.openssl("x509", "-in", pair.certificate, "-noout", "-pubkey"));
    const der = this.file("signature", derSignature(signature, half));
    const file = this.file("message", message);
    const args = ["dgst", `-${hash}`, "-verify", publicKey, "-signature", der, file];
    const { exitCode, stdout } = Bun.spawnSync(["openssl", ...args]);
    return exitCode === 0 && stdout.toString() === "Verified OK\n";
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Returns R and S of a DER signature, padded to the curve's size. */
export function plain(der: Uint8Array, half: number): Uint8Array {
  let at = (der[1] ?? 0) < 0x80 ? 2 : 3;
  const result = new Uint8Array(2 * half);
  for (const end of [half, 2 * half]) {
    const length = der[at + 1] ?? 0;
    const number = Buffer.from(der.subarray(at + 2, at + 2 + length));
    const digits = number[0] === 0 ? number.subarray(1) : number;
    result.set(digits, end - digits.length);
    at += 2 + length;
  }
  return result;
}

/** Encodes R and S as DER (RFC 3279, section 2.2.3). */
export function derSignature(signature: Uint8Array, half: number): Uint8Array {
  const number = (bytes: Uint8Array): number[] => {
    const digits = Array.from(bytes);
    while (digits.length > 1 && digits[0] === 0) digits.shift();
    if ((digits[0] ?? 0) >= 0x80) digits.unshift(0);
    return [2, digits.length, ...digits];
  };
  const both = [...number(signature.subarray(0, half)), ...number(signature.subarray(half))];
  return Uint8Array.from([0x30, ...(both.length < 0x80 ? [both.length] : [0x81, both.length]), ...both]);
}

/** Encodes the COSE header with the algorithm. */
export const protectedHeader = (cose: number): number[] => map([[integer(1), integer(cose)]]);

export const payloadOf = (pcr0: Uint8Array, index = 0): number[] =>
  map([
    [text("register_index"), integer(index)],
    [text("register_value"), integers(pcr0)],
  ]);

/** Encodes the Sig_structure of RFC 9052, section 4.4. */
export function sigStructure(curve: Curve, pcr0: Uint8Array, index = 0): Uint8Array {
  const header = protectedHeader(CURVES[curve].cose);
  const parts = [text("Signature1"), byteString(header), byteString([]), byteString(payloadOf(pcr0, index))];
  return Uint8Array.from(array(parts));
}

export interface SectionOptions {
  readonly cose?: number;
  readonly index?: number;
  readonly tagged?: boolean;
}

/** Encodes a signature section's payload as AWS's tools do. */
export function signatureSection(
  certificate: Uint8Array,
  curve: Curve,
  pcr0: Uint8Array,
  signature: Uint8Array,
  { cose = CURVES[curve].cose, index = 0, tagged = false }: SectionOptions = {},
): Uint8Array {
  const parts = [
    byteString(protectedHeader(cose)),
    map([]),
    byteString(payloadOf(pcr0, index)),
    byteString(signature),
  ];
  const sign1 = [...(tagged ? [0xd2] : []), ...array(parts)];
  return Uint8Array.from(
    array([
      map([
        [text("signing_certificate"), integers(certificate)],
        [text("signature"), integers(sign1)],
      ]),
    ]),
  );
}

/** Returns a signature section that OpenSSL has signed. */
export function signedByOpenssl(place: SigningPlace, pair: Pair, pcr0: Uint8Array): Uint8Array {
  const signature = place.sign(pair, sigStructure(pair.curve, pcr0));
  return signatureSection(place.read(pair.certificate), pair.curve, pcr0, signature);
}
