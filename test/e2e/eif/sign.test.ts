/** `nitro eif sign` and `verify` against OpenSSL: each accepts the signatures of the other. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, statSync } from "node:fs";
import { asBytes, keyed, readCbor } from "../../unit/eif/cbor.ts";
import { section, TYPE, writeEif } from "../../unit/eif/eif-writer.ts";
import {
  CURVE_NAMES,
  CURVES,
  derSignature,
  type Pair,
  signatureSection,
  signedByOpenssl,
  sigStructure,
} from "../../unit/eif/signing.ts";
import { type EifFile, payload, pcrOf, readEifFile } from "./eif-file.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const pairs = CURVE_NAMES.map((curve) => here.pair({ curve }));
const [pair256, pair384] = pairs as [Pair, Pair];
const by = (pair: Pair) => ["-signing-certificate", pair.certificate, "-private-key", pair.key];
const pcr0Of = (file: EifFile) => new Uint8Array(Buffer.from(file.pcrs[0], "hex"));

/** Returns whether OpenSSL accepts the image's signature, over a structure that the tests encode. */
function opensslTakes(file: EifFile, pair: Pair): boolean {
  const [entry] = readCbor(payload(file, "signature")) as [never];
  const certificate = asBytes(keyed(entry, "signing_certificate"));
  const [, , , signature] = readCbor(asBytes(keyed(entry, "signature"))) as [never, never, never, Uint8Array];
  const same = Buffer.from(certificate).equals(readFileSync(pair.certificate));
  return same && here.verifies(pair, sigStructure(pair.curve, pcr0Of(file)), signature);
}

const SHAPES = [
  ["one ramdisk, x86_64", ["-kernel", here.kernel, "-arch", "x86_64", "-initrd", here.initrd]],
  [
    "three ramdisks, aarch64",
    [
      "-kernel",
      here.image,
      "-arch",
      "aarch64",
      "-initrd",
      here.initrd,
      "-M",
      `ramdisk=${here.second},ramdisk=${here.third}`,
    ],
  ],
] as const;

describe.each(pairs)("with a key of $curve", (pair) => {
  test.each(SHAPES)(
    "signature: an image of %s is signed during its build, and OpenSSL accepts the signature",
    (_, args) => {
      const out = here.done(["build", "-o", "signed.eif", ...args, ...by(pair)]);
      const file = readEifFile(here.path("signed.eif"));
      expect(file.names.at(-1)).toBe("signature");
      expect(opensslTakes(file, pair)).toBe(true);
      expect(out).toContain(`PCR8 ${pcrOf(here.der(pair.certificate))}\n`);
      expect(here.done(["verify", "signed.eif"])).toStartWith("signed.eif: signed by ");
      expect(here.done(["verify", "signed.eif", "-signing-certificate", pair.certificate])).not.toBe("");
    },
  );

  test.each(SHAPES)("signature: eif verify accepts an image of %s that OpenSSL has signed", (_, args) => {
    here.done(["build", "-o", "unsigned.eif", ...args]);
    const file = readEifFile(here.path("unsigned.eif"));
    const sections = file.names.map((name, i) => ({
      type: TYPE[name as keyof typeof TYPE],
      payload: file.payloads[i] ?? Buffer.alloc(0),
    }));
    const signature = { type: TYPE.signature, payload: signedByOpenssl(here, pair, pcr0Of(file)) };
    here.file("theirs.eif", writeEif({ flags: file.flags, sections: [...sections, signature] }));
    const [pcr0, pcr1, pcr2] = file.pcrs;
    const PCR8 = pcrOf(here.der(pair.certificate));
    expect(JSON.parse(here.done(["verify", "theirs.eif", "-json"]))).toEqual({
      Verified: true,
      Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0: pcr0, PCR1: pcr1, PCR2: pcr2, PCR8 },
    });
  });

  test("signature in two steps, with OpenSSL as the HSM: DER and R and S are accepted", () => {
    const image = here.built("two.eif");
    const before = readFileSync(image);
    const asked = ["sign", "two.eif", "-signing-certificate", pair.certificate, "-to-be-signed", "message"];
    const { ToBeSigned } = JSON.parse(here.done([...asked, "-json"]));
    expect(readFileSync(image).equals(before)).toBe(true);
    const { hash, half } = CURVES[pair.curve];
    const message = here.read(here.path("message"));
    expect(Array.from(message)).toEqual(Array.from(sigStructure(pair.curve, pcr0Of(readEifFile(image)))));
    const digest = here.openssl("dgst", `-${hash}`, "-binary", "message");
    expect(ToBeSigned.Digest).toBe(digest.toString("hex"));
    here.file("digest", digest);
    here.openssl("pkeyutl", "-sign", "-inkey", pair.key, "-in", "digest", "-out", "answer.der");
    const answer = ["sign", "two.eif", "-signing-certificate", pair.certificate, "-signature"];
    here.done([...answer, "answer.der"]);
    expect(opensslTakes(readEifFile(image), pair)).toBe(true);
    here.file("two.eif", before);
    here.file("answer.raw", here.sign(pair, message));
    here.done([...answer, "answer.raw"]);
    expect(opensslTakes(readEifFile(image), pair)).toBe(true);
    const signed = readFileSync(image);
    const wrong = Uint8Array.from(here.read(here.path("answer.raw")), (byte, i) =>
      i === 9 ? byte ^ 4 : byte,
    );
    for (const bad of [wrong, derSignature(wrong, half), new Uint8Array(0), new Uint8Array(1024)]) {
      const file = here.file("bad", bad);
      expect(here.refused([...answer, file])).toStartWith(
        `-signature ${file}: its ${bad.length} bytes are not the certificate's `,
      );
    }
    expect(readFileSync(image).equals(signed)).toBe(true);
  });
});

describe("signing a signed image", () => {
  test("eif sign: replaces a signature by a longer or shorter one; all other sections stay unchanged", () => {
    const image = here.built("anew.eif", "-M", `ramdisk=${here.second}`);
    const unsigned = readEifFile(image);
    for (const pair of [...pairs, pair384, pair256]) {
      here.done(["sign", "anew.eif", ...by(pair)]);
      const file = readEifFile(image);
      expect(file.names).toEqual([...unsigned.names, "signature"]);
      expect(opensslTakes(file, pair)).toBe(true);
      const end = unsigned.bytes.length;
      expect(file.bytes.subarray(548, end).equals(unsigned.bytes.subarray(548))).toBe(true);
      expect(file.bytes.subarray(0, 26).equals(unsigned.bytes.subarray(0, 26))).toBe(true);
      expect(here.done(["verify", "anew.eif", "-signing-certificate", pair.certificate])).not.toBe("");
    }
  });

  test("eif sign: replaces a signature between gaps, with flags and the stale size that AWS's signer leaves", () => {
    const odd = writeEif({
      flags: 0x240,
      sections: [
        section("kernel", "kernel", { gap: 5 }),
        section("cmdline", "quiet"),
        { ...section("signature", "old old old old"), headerSize: 9n },
        section("ramdisk", "one", { gap: 3 }),
        section("metadata", "{}"),
        section("ramdisk", "two"),
      ],
      trailer: 7,
    });
    here.file("odd.eif", odd);
    here.done(["sign", "odd.eif", ...by(pair384)]);
    const bytes = Buffer.from(readFileSync(here.path("odd.eif")));
    const begin = 548 + 5 + 12 + 6 + 12 + 5;
    const size = Number(bytes.readBigUInt64BE(begin + 4));
    expect(bytes.subarray(548, begin).equals(Buffer.from(odd.subarray(548, begin)))).toBe(true);
    expect(bytes.subarray(begin + 12 + size).equals(Buffer.from(odd.subarray(begin + 12 + 15)))).toBe(true);
    expect([bytes.readUInt16BE(6), bytes.readUInt16BE(26)]).toEqual([0x240, 6]);
    const grown = BigInt(size - 15);
    for (let i = 0; i < 6; i++) {
      const old = Buffer.from(odd).readBigUInt64BE(28 + 8 * i);
      expect(bytes.readBigUInt64BE(28 + 8 * i)).toBe(i > 2 ? old + grown : old);
    }
    expect(bytes.readBigUInt64BE(284 + 16)).toBe(BigInt(size));
    expect(here.done(["verify", "odd.eif"])).not.toBe("");
  });

  test("eif sign: with -o the image stays unchanged; an input file as output is refused", () => {
    const image = here.built("from.eif");
    const before = readFileSync(image);
    here.done(["sign", "from.eif", "-o", "to.eif", ...by(pair256)]);
    expect(readFileSync(image).equals(before)).toBe(true);
    expect(opensslTakes(readEifFile(here.path("to.eif")), pair256)).toBe(true);
    for (const name of ["from.eif", pair256.key, pair256.certificate]) {
      expect(here.refused(["sign", "from.eif", "-o", name, ...by(pair256)])).toBe(
        `-o ${name}: it is one of the input files`,
      );
    }
    const asked = ["sign", "from.eif", "-signing-certificate", pair256.certificate, "-to-be-signed"];
    expect(here.refused([...asked, "from.eif"])).toEndWith("it is one of the input files");
  });

  test("eif sign: writes to standard output in both steps", () => {
    here.built("out.eif");
    const nitro = new URL("../../../dist/nitro", import.meta.url).pathname;
    const run = (args: readonly string[]) =>
      Bun.spawnSync([nitro, "eif", "sign", "out.eif", ...args], { cwd: here.directory });
    const signed = run(["-o", "-", ...by(pair256)]);
    expect([signed.exitCode, signed.stderr.toString()]).toEqual([0, expect.stringContaining("PCR8 ")]);
    here.file("piped.eif", new Uint8Array(signed.stdout));
    expect(opensslTakes(readEifFile(here.path("piped.eif")), pair256)).toBe(true);
    const asked = run(["-signing-certificate", pair256.certificate, "-to-be-signed", "-"]);
    const structure = sigStructure("P-256", pcr0Of(readEifFile(here.path("out.eif"))));
    expect(Array.from(asked.stdout)).toEqual(Array.from(structure));
  });

  test("eif sign: keeps the file's mode, and leaves no other file", () => {
    const image = here.built("mode.eif");
    chmodSync(image, 0o600);
    const names = here.names();
    here.done(["sign", "mode.eif", ...by(pair256)]);
    expect(statSync(image).mode & 0o777).toBe(0o600);
    expect(here.names()).toEqual(names);
  });
});

describe("sign refuses", () => {
  const image = here.built("image.eif");
  const before = readFileSync(image);
  const expired = here.pair({ name: "expired", from: "20200101000000Z", to: "20210101000000Z" });
  const early = here.pair({ name: "early", from: "21000101000000Z" });
  afterAll(() => expect(readFileSync(image).equals(before)).toBe(true));
  const sign = (...args: string[]) => here.refused(["sign", "image.eif", ...args]);

  test("eif sign: refuses a key that does not belong to the certificate", () => {
    const args = ["-signing-certificate", pair384.certificate, "-private-key"];
    const other = here.pair({ name: "another" });
    for (const key of [pair256.key, other.key]) {
      expect(sign(...args, key)).toBe(
        `-private-key ${key}: the key does not belong to the certificate ${pair384.certificate}`,
      );
    }
    for (const key of [here.file("no.key", "no key"), pair384.certificate, here.file("nothing.key", "")]) {
      expect(sign(...args, key)).toBe(
        `-private-key ${key}: not a private key in PEM, or protected with a passphrase`,
      );
    }
  });

  test("eif sign: refuses an expired certificate; one that is not valid yet causes a warning", () => {
    expect(sign(...by(expired))).toBe(
      `-signing-certificate ${expired.certificate}: it expired on Jan  1 00:00:00 2021 GMT; ` +
        "no enclave starts with it",
    );
    const { err, status } = here.eif(["sign", "image.eif", "-o", "early.eif", ...by(early)]);
    expect(status).toBe(0);
    expect(err).toBe(
      `nitro: warning: -signing-certificate ${early.certificate}: it is valid from Jan  1 00:00:00 2100 GMT on; ` +
        "before that no enclave starts with it\n",
    );
    expect(here.refused(["verify", "early.eif"])).toContain(
      "is not yet valid (valid from Jan  1 00:00:00 2100 GMT",
    );
  });

  test("eif sign: refuses a certificate with another kind of key, and other files", () => {
    here.openssl(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      "rsa.key",
      "-subj",
      "/CN=r",
      "-out",
      "rsa.crt",
    );
    const rsa = ["-signing-certificate", here.path("rsa.crt"), "-private-key", here.path("rsa.key")];
    expect(sign(...rsa)).toEndWith("rsa.crt: its key is not an EC key of P-256, P-384 or P-521");
    const key = ["-private-key", pair256.key];
    expect(sign("-signing-certificate", pair256.key, ...key)).toEndWith("P-256.key: it is a private key");
    const der = here.file("cert.der", here.der(pair256.certificate));
    expect(sign("-signing-certificate", der, ...key)).toEndWith("cert.der: not PEM; it looks like DER");
    expect(sign("-signing-certificate", here.third, ...key)).toEndWith(
      "the certificate has no PEM block from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
    );
  });

  test("eif sign: refuses a damaged image, one of version 2, one with 32 sections, and other files", () => {
    const damaged = Buffer.from(before);
    damaged[700] = (damaged[700] ?? 0) ^ 1;
    here.file("damaged.eif", damaged);
    expect(here.refused(["sign", "damaged.eif", ...by(pair256)])).toMatch(
      /^damaged\.eif: the CRC-32 of the file is 0x[0-9a-f]{8}, its header says 0x[0-9a-f]{8} \(byte 544\); the file is damaged$/,
    );
    here.file(
      "two.old",
      writeEif({ version: 2, sections: [section("kernel", "k"), section("cmdline", "")] }),
    );
    expect(here.refused(["sign", "two.old", ...by(pair256)])).toBe(
      "two.old: EIF version 2 has no signatures",
    );
    const many = Array.from({ length: 29 }, () => section("ramdisk", "r"));
    const full = [section("kernel", "k"), section("cmdline", ""), section("metadata", "{}"), ...many];
    here.file("full.eif", writeEif({ sections: full }));
    expect(here.refused(["sign", "full.eif", ...by(pair256)])).toBe(
      "full.eif: no room for a signature: it has 32 sections, the maximum",
    );
    expect(here.refused(["sign", "bzImage", ...by(pair256)])).toBe(
      "bzImage: not an EIF: it does not start with .eif",
    );
    expect(here.refused(["sign", "/dev/null", ...by(pair256)])).toStartWith("/dev/null: not a regular file");
  });

  test("eif sign: refuses options that conflict or are missing", () => {
    const certificate = ["-signing-certificate", pair256.certificate];
    expect(here.refused(["sign"])).toBe("eif sign: no image given");
    expect(here.refused(["sign", "a", "b"])).toBe("b: unexpected argument");
    expect(sign()).toBe("-signing-certificate: missing; the signature contains the certificate");
    expect(sign(...certificate)).toBe("-private-key: missing; the signature needs it");
    expect(sign(...certificate, "-signature", "s", "-private-key", "k")).toBe(
      "-signature: conflicts with -private-key",
    );
    expect(sign(...certificate, "-to-be-signed", "s", "-o", "k")).toBe("-o k: conflicts with -to-be-signed");
    expect(sign(...certificate, "-to-be-signed", "-", "-json")).toBe(
      "-json: standard output is used for the file",
    );
  });

  test("eif sign: uses the first of several certificates, and never a private key in the file", () => {
    const both = here.file(
      "both.pem",
      Buffer.concat([
        readFileSync(pair256.key),
        readFileSync(pair256.certificate),
        readFileSync(pair384.certificate),
      ]),
    );
    const args = ["-signing-certificate", both, "-private-key", both];
    const { status, err } = here.eif(["sign", "image.eif", "-o", "both.eif", ...args]);
    expect([status, err]).toEqual([0, expect.stringContaining("only the first certificate is used")]);
    expect(opensslTakes(readEifFile(here.path("both.eif")), pair256)).toBe(true);
  });
});

describe("verify", () => {
  const image = here.built("verify.eif");
  here.done(["sign", "verify.eif", ...by(pair384)]);
  const file = readEifFile(image);
  const [kernel, cmdline, metadata, ramdisk] = file.payloads;
  const pem = readFileSync(pair384.certificate);

  /** Verifies the image with another signature section and a correct CRC. */
  function withSignature(bytes: Uint8Array): string {
    const of = (type: keyof typeof TYPE, content: Uint8Array | undefined) => ({
      type: TYPE[type],
      payload: content ?? new Uint8Array(0),
    });
    const sections = [
      of("kernel", kernel),
      of("cmdline", cmdline),
      of("metadata", metadata),
      of("ramdisk", ramdisk),
    ];
    here.file("other.eif", writeEif({ sections: [...sections, of("signature", bytes)] }));
    return here.refused(["verify", "other.eif"]);
  }

  const place = `section 4 (signature, type 4) at byte ${file.table[4]?.[0]}`;

  test("eif verify: rejects a signature over another image, by another key, with another algorithm", () => {
    const zeros = new Uint8Array(48);
    expect(withSignature(signedByOpenssl(here, pair384, zeros))).toBe(
      `other.eif: the signature in ${place} is not valid: it signs a PCR0 that is not this image's`,
    );
    const raw = here.sign(pair384, sigStructure("P-384", pcr0Of(file)));
    expect(
      withSignature(signatureSection(readFileSync(pair256.certificate), "P-256", pcr0Of(file), raw)),
    ).toBe(
      `other.eif: the signature in ${place} is not valid: it does not match the certificate's key, or its content was changed`,
    );
    expect(withSignature(signatureSection(pem, "P-384", pcr0Of(file), raw, { cose: -36 }))).toContain(
      "it names algorithm -36, but the certificate's P-384 key signs with ES384 (-35)",
    );
  });

  test("eif verify: rejects an expired certificate with its dates", () => {
    const expired = here.pair({ name: "past", from: "20200101000000Z", to: "20210101000000Z" });
    expect(withSignature(signedByOpenssl(here, expired, pcr0Of(file)))).toBe(
      `other.eif: the signing certificate in ${place} is expired (valid from Jan  1 00:00:00 2020 GMT ` +
        "to Jan  1 00:00:00 2021 GMT); no enclave starts with it",
    );
  });

  test.each([
    ["nothing", new Uint8Array(0), "is not valid CBOR: "],
    ["broken CBOR", Uint8Array.from([0x81, 0xa2, 0x61]), "is not valid CBOR: "],
    ["no array of maps", Uint8Array.from([0x81, 0x01]), "is not a CBOR array of maps"],
  ])("eif verify: rejects %s as a signature section", (_, bytes, why) => {
    expect(withSignature(bytes)).toStartWith(`other.eif: ${place} ${why}`);
  });

  test("eif verify: rejects an unsigned image, a damaged one, and one signed with another certificate", () => {
    here.built("plain.eif");
    expect(here.refused(["verify", "plain.eif"])).toBe("plain.eif: it is not signed");
    const damaged = Buffer.from(file.bytes);
    damaged[1000] = (damaged[1000] ?? 0) ^ 1;
    here.file("damaged.eif", damaged);
    expect(here.refused(["verify", "damaged.eif"])).toContain("the file is damaged");
    expect(here.refused(["verify", "verify.eif", "-signing-certificate", pair256.certificate])).toBe(
      "verify.eif: it is signed with another certificate: C=US, O=Example, CN=enclave",
    );
    const { out, status } = here.eif(["verify", "damaged.eif", "-json"]);
    expect([JSON.parse(out).Verified, JSON.parse(out).Reason, status]).toEqual([
      false,
      expect.stringContaining("damaged"),
      1,
    ]);
  });
});
