import { afterAll, describe, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { EifError } from "../../../src/eif/format/reader.ts";
import { readCertificate, validityAt } from "../../../src/eif/signing/certificate.ts";
import {
  acceptSignature,
  belongsTo,
  encodeSignatureSection,
  readPrivateKey,
  readSignatureSection,
  signatureProblem,
  signWith,
  toBeSigned,
} from "../../../src/eif/signing/signature.ts";
import { array, byteString, integer, integers, map, text } from "./cbor.ts";
import {
  KEY_FORMS,
  type KeyForm,
  pairInForm,
  pairWithoutName,
  textForms,
  unreadableForms,
} from "./certificate-forms.ts";
import {
  CURVE_NAMES,
  CURVES,
  derSignature,
  type Pair,
  payloadOf,
  protectedHeader,
  SigningPlace,
  signatureSection,
  signedByOpenssl,
  sigStructure,
} from "./signing.ts";

const here = new SigningPlace();
afterAll(() => here[Symbol.dispose]());
const pairs = CURVE_NAMES.map((curve) => here.pair({ curve }));
const [pair256, pair384] = pairs as [Pair, Pair];

const pcr0 = new Uint8Array(createHash("sha384").update("an image").digest());
const certificateOf = (pair: Pair) => readCertificate(here.read(pair.certificate), "cert.pem");

function errorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof EifError) return error.message;
    throw error;
  }
  throw new Error("expected an EifError, and nothing failed");
}

describe.each(pairs)("a signature of a $curve key", (pair) => {
  const certificate = certificateOf(pair);
  const { algorithm } = certificate;
  if (algorithm === undefined) throw new Error("the certificate's key is not known");

  test("signature: one made by nitro is valid for OpenSSL, over a structure that the tests encode", () => {
    const key = readPrivateKey(here.read(pair.key));
    if (key === undefined) throw new Error("the key cannot be read");
    expect(belongsTo(key, certificate)).toBe(true);
    const what = toBeSigned(algorithm, pcr0);
    expect(Array.from(what.structure)).toEqual(Array.from(sigStructure(pair.curve, pcr0)));
    const signature = signWith(key, what);
    expect(signature.length).toBe(2 * CURVES[pair.curve].half);
    expect(here.verifies(pair, sigStructure(pair.curve, pcr0), signature)).toBe(true);
    expect(here.verifies(pair, sigStructure(pair.curve, pcr0, 1), signature)).toBe(false);
  });

  test("signature: is encoded into the same section as by the tests' own writer", () => {
    const signature = here.sign(pair, sigStructure(pair.curve, pcr0));
    const section = encodeSignatureSection(certificate, toBeSigned(algorithm, pcr0), signature);
    const own = signatureSection(here.read(pair.certificate), pair.curve, pcr0, signature);
    expect(Array.from(section)).toEqual(Array.from(own));
  });

  test("signature: one made by OpenSSL is valid for nitro, for this image and no other", () => {
    const read = readSignatureSection(signedByOpenssl(here, pair, pcr0), "it");
    expect(signatureProblem(read, pcr0)).toBeUndefined();
    expect(signatureProblem(read, new Uint8Array(48))).toBe("it signs a PCR0 that is not this image's");
    expect(Array.from(read.certificate.der)).toEqual(Array.from(here.der(pair.certificate)));
    expect([read.sign1.algorithm, read.sign1.pcrIndex]).toEqual([CURVES[pair.curve].cose, 0]);
  });

  test("signature: one made elsewhere is accepted as R and S or in DER, if it is valid", () => {
    const what = toBeSigned(algorithm, pcr0);
    const { half } = CURVES[pair.curve];
    const raw = here.sign(pair, what.structure);
    const der = derSignature(raw, half);
    expect(acceptSignature(certificate, what, raw)).toEqual(raw);
    expect(acceptSignature(certificate, what, der)).toEqual(raw);
    const wrong = Uint8Array.from(raw, (byte, i) => (i === 5 ? byte ^ 1 : byte));
    for (const bad of [
      wrong,
      derSignature(wrong, half),
      raw.subarray(1),
      der.subarray(0, -1),
      Uint8Array.from([...der, 0]),
      new Uint8Array(2 * half),
      new Uint8Array(0),
      here.sign(pair, sigStructure(pair.curve, pcr0, 1)),
    ]) {
      expect(acceptSignature(certificate, what, bad)).toBeUndefined();
    }
  });
});

describe("invalid signatures", () => {
  const signature = here.sign(pair384, sigStructure("P-384", pcr0));
  const pem = here.read(pair384.certificate);
  const whyNot = (section: Uint8Array) => signatureProblem(readSignatureSection(section, "it"), pcr0);

  test("invalid signature: one of another certificate", () => {
    const other = here.pair({ curve: "P-384", name: "other" });
    expect(whyNot(signatureSection(here.read(other.certificate), "P-384", pcr0, signature))).toBe(
      "it does not match the certificate's key, or its content was changed",
    );
  });

  test("invalid signature: one over another PCR", () => {
    const first = here.sign(pair384, sigStructure("P-384", pcr0, 1));
    expect(whyNot(signatureSection(pem, "P-384", pcr0, first, { index: 1 }))).toBe("it signs PCR1, not PCR0");
  });

  test("invalid signature: one with an algorithm that is not the key's", () => {
    expect(whyNot(signatureSection(pem, "P-384", pcr0, signature, { cose: -7 }))).toBe(
      "it names algorithm -7, but the certificate's P-384 key signs with ES384 (-35)",
    );
  });

  test("invalid signature: one of a key that is not an EC key", () => {
    const rsa = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "rsa.key", "-subj", "/CN=r"];
    here.openssl(...rsa, "-out", "rsa.crt");
    const certificate = here.read(here.path("rsa.crt"));
    expect(whyNot(signatureSection(certificate, "P-384", pcr0, signature))).toBe(
      "the certificate's key is not an EC key of P-256, P-384 or P-521",
    );
  });

  test("invalid signature: one of another length", () => {
    expect(whyNot(signatureSection(pem, "P-384", pcr0, signature.subarray(1)))).toBe(
      "it does not match the certificate's key, or its content was changed",
    );
  });

  test("valid signature: a COSE tag and a second signature are allowed by the specification", () => {
    const good = { tagged: true };
    expect(whyNot(signatureSection(pem, "P-384", pcr0, signature, good))).toBeUndefined();
    const one = Array.from(signatureSection(pem, "P-384", pcr0, signature)).slice(1);
    expect(whyNot(Uint8Array.from([0x82, ...one, ...one]))).toBeUndefined();
  });
});

describe("invalid signature sections", () => {
  const pem = integers(here.read(pair256.certificate));
  const entry = (certificate: readonly number[], cose: readonly number[]) =>
    Uint8Array.from(
      array([
        map([
          [text("signing_certificate"), certificate],
          [text("signature"), cose],
        ]),
      ]),
    );
  const cose = (...parts: readonly (readonly number[])[]) => entry(pem, integers(array(parts)));
  const header = byteString(protectedHeader(-7));
  const payload = byteString(payloadOf(pcr0));
  const raw = byteString(new Uint8Array(64));

  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["nothing", new Uint8Array(0), "it is not valid CBOR: "],
    ["a text", Uint8Array.from(text("hello")), "it is not a CBOR array of maps"],
    ["null", Uint8Array.from([0xf6]), "it is not a CBOR array of maps"],
    ["an empty array", Uint8Array.from([0x80]), "it is not a CBOR array of maps"],
    ["an endless nesting", new Uint8Array(32768).fill(0x81), "it is not valid CBOR: "],
    [
      "an array of 2^53 items",
      Uint8Array.from([0x9b, 0, 0x1f, ...Array(6).fill(0xff)]),
      "it is not valid CBOR",
    ],
    [
      "a truncated one",
      signatureSection(here.read(pair256.certificate), "P-256", pcr0, new Uint8Array(64)).slice(0, -9),
      "it is not valid CBOR",
    ],
    ["bytes after it", Uint8Array.from([...entry(pem, integers([])), 0]), "it is not valid CBOR: "],
    ["more than 32,768 bytes", new Uint8Array(32769), "it has 32769 bytes; at most 32768 are allowed"],
    [
      "no certificate",
      Uint8Array.from(array([map([[text("signature"), integers([])]])])),
      "signing_certificate of it is not an array of integers",
    ],
    [
      "a certificate as a byte string",
      entry(byteString([1, 2]), integers([])),
      "signing_certificate of it is not an array of integers",
    ],
    [
      "a certificate with an item that is not a byte",
      entry(array([integer(65), integer(256)]), integers([])),
      "signing_certificate of it has an item that is not a byte, at index 1",
    ],
    [
      "a duplicate key",
      Uint8Array.from(
        array([
          map([
            [text("signature"), integers([])],
            [text("signature"), integers([])],
          ]),
        ]),
      ),
      "it is not valid CBOR: ",
    ],
    [
      "a COSE_Sign1 of three",
      cose(header, map([]), payload),
      "the COSE_Sign1 of it is not an array of four items",
    ],
    [
      "a COSE_Sign1 without a payload",
      cose(header, map([]), [0xf6], raw),
      "the COSE_Sign1 of it has a header, payload or signature that is not a byte string",
    ],
    [
      "a header that is not a map",
      cose(byteString([0x80]), map([]), payload, raw),
      "the header of the COSE_Sign1 of it names no algorithm",
    ],
    [
      "a payload that is not a map",
      cose(header, map([]), byteString([0x80]), raw),
      "the payload of the COSE_Sign1 of it has no register_index",
    ],
    [
      "a payload without a value",
      cose(header, map([]), byteString(map([[text("register_index"), integer(0)]])), raw),
      "register_value of the COSE_Sign1 of it is not an array",
    ],
    [
      "a certificate that is not PEM",
      entry(integers(Buffer.from("hello")), integers(array([header, map([]), payload, raw]))),
      "the certificate of it has no PEM block from -----BEGIN CERTIFICATE-----",
    ],
  ];
  test.each(cases)("signature section: is rejected if it is or has %s", (_, section, why) => {
    expect(errorOf(() => readSignatureSection(section, "it"))).toStartWith(why);
  });
});

describe("certificate", () => {
  test("certificate: has the attributes that AWS's describe-eif prints", () => {
    const pair = here.pair({ name: "named", curve: "P-256", subject: "/C=DE/ST=Hessen/O=Grüße, AG/CN=one" });
    const certificate = certificateOf(pair);
    expect(Object.entries(certificate.issuer)).toEqual([
      ["commonName", "one"],
      ["countryName", "DE"],
      ["organizationName", "Grüße, AG"],
      ["stateOrProvinceName", "Hessen"],
    ]);
    expect([certificate.signedWith, certificate.notBefore.text, certificate.notAfter.text]).toEqual([
      "ecdsa-with-SHA384",
      "Jan  1 00:00:00 2020 GMT",
      "Jan  1 00:00:00 2120 GMT",
    ]);
    expect(certificate.notAfter.time.toISOString()).toBe("2120-01-01T00:00:00.000Z");
    const der = here.der(pair.certificate);
    expect(Buffer.from(der).toString("hex")).toEndWith(Buffer.from(certificate.signature).toString("hex"));
    const message = der.subarray(4, der.length - certificate.signature.length - 3 - 12);
    const key = here.openssl("x509", "-in", pair.certificate, "-noout", "-pubkey");
    here.file("named.pub", key);
    here.file("named.tbs", message);
    here.file("named.sig", certificate.signature);
    const output = here.openssl(
      "dgst",
      "-sha384",
      "-verify",
      "named.pub",
      "-signature",
      "named.sig",
      "named.tbs",
    );
    expect(output.toString()).toBe("Verified OK\n");
  });

  test("certificate: is valid between its dates", () => {
    const dates = { from: "20240229120000Z", to: "20240301000000Z" };
    const certificate = certificateOf(here.pair({ name: "leap", ...dates }));
    const at = (text: string) => validityAt(certificate, new Date(text));
    expect(at("2024-02-29T11:59:59Z")).toBe("not yet valid");
    expect(at("2024-02-29T12:00:00Z")).toBe("valid");
    expect(at("2024-03-01T00:00:00Z")).toBe("valid");
    expect(at("2024-03-01T00:00:01Z")).toBe("expired");
  });

  test("certificate: is found between other text, even a private key", () => {
    const around = ["a note\n", here.read(pair256.key), here.read(pair256.certificate), "and more\n"];
    const certificate = readCertificate(Buffer.concat(around.map((part) => Buffer.from(part))), "it");
    expect(certificate.pem).toBe(Buffer.from(here.read(pair256.certificate)).toString());
    expect(certificate.trailing).toBe(8);
  });

  const der = here.der(pair256.certificate);
  const pemOf = (bytes: Uint8Array) =>
    Buffer.from(
      `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString("base64")}\n-----END CERTIFICATE-----\n`,
    );
  test.each([
    ["that is empty", Buffer.alloc(0), "it has no PEM block from"],
    ["without an end", pemOf(der).subarray(0, -10), "it has no PEM block from"],
    [
      "that is not base64",
      Buffer.from(pemOf(der).toString().replace("MII", "M=I")),
      "it has a PEM block that is not",
    ],
    ["that is truncated", pemOf(der.subarray(0, 100)), "it is not a valid X.509 certificate: "],
    ["of zeros", pemOf(new Uint8Array(100)), "it is not a valid X.509 certificate: "],
    ["with an empty block", pemOf(new Uint8Array(0)), "it is not a valid X.509 certificate: "],
    ["of 32,769 bytes", Buffer.alloc(32769), "it has 32769 bytes; at most 32768 are read"],
  ])("certificate: %s is refused", (_, bytes, why) => {
    expect(errorOf(() => readCertificate(new Uint8Array(bytes), "it"))).toStartWith(why);
  });

  const forms = textForms(here, pair256.certificate);
  test.each(Object.keys(forms))(
    "certificate: %s is read as OpenSSL reads it, and its DER is the plain one",
    (name) => {
      const text = forms[name] ?? Buffer.alloc(0);
      const file = here.file("form.pem", text);
      expect(Buffer.from(here.der(file)).equals(Buffer.from(der))).toBe(true);
      const certificate = readCertificate(new Uint8Array(text), "it");
      expect(Buffer.from(certificate.der).equals(Buffer.from(der))).toBe(true);
      // Every reader accepts the block that goes into a signature section.
      expect(certificate.pem).toStartWith("-----BEGIN CERTIFICATE-----");
      expect(here.der(here.file("section.pem", certificate.pem))).toEqual(der);
      expect(new X509Certificate(certificate.pem).raw.equals(Buffer.from(der))).toBe(true);
    },
  );

  const unreadable = unreadableForms(here, pair256.certificate);
  test.each(Object.keys(unreadable))(
    "certificate: one in %s is refused, and the message names the form",
    (name) => {
      const [text, why] = unreadable[name] ?? [Buffer.alloc(0), ""];
      expect(errorOf(() => readCertificate(new Uint8Array(text), "it"))).toContain(why);
    },
  );

  test("certificate: one without a name is read, and its alternative name is shown", () => {
    const { subject, issuer, algorithm } = certificateOf(pairWithoutName(here));
    expect([subject, issuer, algorithm?.curve]).toEqual(["subjectAltName=DNS:enclave.example", {}, "P-384"]);
  });

  const kinds = CURVE_NAMES.flatMap((curve) =>
    (Object.keys(KEY_FORMS) as KeyForm[]).map((form) => [curve, form] as const),
  );
  test.each(kinds)(
    "certificate: one of a %s key with %s signs and verifies, and has its own DER",
    (curve, form) => {
      const pair = pairInForm(here, curve, form);
      const certificate = certificateOf(pair);
      expect(certificate.algorithm?.curve).toBe(curve);
      expect(certificate.der).toEqual(here.der(pair.certificate));
      const key = readPrivateKey(here.read(pair.key));
      if (key === undefined || certificate.algorithm === undefined) throw new Error("the key cannot be read");
      expect(belongsTo(key, certificate)).toBe(true);
      const signed = signWith(key, toBeSigned(certificate.algorithm, pcr0));
      expect(here.verifies(pair, sigStructure(curve, pcr0), signed)).toBe(true);
    },
  );

  test("certificate: explicit parameters with another generator are no known key", () => {
    // With a generator of one's choice, a private key for any public key is known (CVE-2020-0601).
    const bytes = Buffer.from(here.der(pairInForm(here, "P-256", "explicit parameters").certificate));
    const generator = Buffer.from(
      "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
      "hex",
    );
    const at = bytes.indexOf(generator);
    expect(at).toBeGreaterThan(0);
    const point = bytes.lastIndexOf(Buffer.from([0x03, 0x42, 0x00, 0x04])) + 3;
    bytes.copy(bytes, at, point, point + 65);
    const { algorithm, publicKey } = readCertificate(new Uint8Array(pemOf(bytes)), "it");
    expect([algorithm, publicKey]).toEqual([undefined, undefined]);
  });

  test.each(["ed448", "brainpoolP256r1", "secp256k1", "SM2"])(
    "certificate: one of a key of %s has its DER and no algorithm",
    (kind) => {
      const [key, file] = [here.path(`${kind}.key`), here.path(`${kind}.crt`)];
      if (kind === "ed448") here.openssl("genpkey", "-algorithm", kind, "-out", key);
      else here.openssl("ecparam", "-name", kind, "-genkey", "-noout", "-out", key);
      here.openssl("req", "-new", "-x509", "-key", key, "-subj", "/CN=other", "-out", file);
      const certificate = readCertificate(here.read(file), "it");
      expect([certificate.algorithm, certificate.der]).toEqual([undefined, here.der(file)]);
    },
  );

  test("certificate: belongs to its own key only", () => {
    const keys = pairs.map(({ key }) => readPrivateKey(here.read(key)));
    for (const pair of pairs) {
      const certificate = certificateOf(pair);
      const own = keys.map((key) => key !== undefined && belongsTo(key, certificate));
      expect(own).toEqual(pairs.map(({ curve }) => curve === pair.curve));
    }
    expect(readPrivateKey(here.read(pair256.certificate))).toBeUndefined();
    expect(readPrivateKey(new Uint8Array(0))).toBeUndefined();
    here.openssl("ec", "-in", pair256.key, "-aes256", "-passout", "pass:secret", "-out", "locked.key");
    expect(readPrivateKey(here.read(here.path("locked.key")))).toBeUndefined();
  });
});
