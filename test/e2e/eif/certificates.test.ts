/** Signing certificates in every form that OpenSSL reads, and in some that it does not, in every command and a launch. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { pairInForm, pairWithoutName, textForms, unreadableForms } from "../../unit/eif/certificate-forms.ts";
import { section, TYPE, writeEif } from "../../unit/eif/eif-writer.ts";
import { type Pair, signatureSection, sigStructure } from "../../unit/eif/signing.ts";
import { firstLine, hasDevice, NO_DEVICE, nitro } from "../binary/nitro.ts";
import { pcrOf, readEifFile } from "./eif-file.ts";
import { arm64Image, kernelK, Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const ARM = process.arch === "arm64";
const kernel = ARM ? arm64Image() : kernelK();
const unsigned = writeEif({
  flags: ARM ? 1 : 0,
  sections: [
    { type: TYPE.kernel, payload: kernel },
    section("cmdline", ""),
    section("ramdisk", "ramdisk"),
    section("metadata", "{}"),
  ],
});
here.file("unsigned.eif", unsigned);
const pcr0 = pcrOf(kernel, Buffer.from("ramdisk"));

/** Writes the image signed by OpenSSL, with the certificate in this text, as AWS's signer writes the file of its user. */
function signedWith(pair: Pair, text: Uint8Array, name: string): string {
  const bytes = new Uint8Array(Buffer.from(pcr0, "hex"));
  const signature = here.sign(pair, sigStructure(pair.curve, bytes));
  const payload = signatureSection(text, pair.curve, bytes, signature);
  const file = readEifFile(here.path("unsigned.eif"));
  const sections = file.names.map((part, i) => ({
    type: TYPE[part as keyof typeof TYPE],
    payload: file.payloads[i] ?? Buffer.alloc(0),
  }));
  return here.file(
    name,
    writeEif({ flags: file.flags, sections: [...sections, { type: TYPE.signature, payload }] }),
  );
}

/** The first line of a launch on a host without the device, which comes after all checks of the image. */
function launched(eif: string): string {
  return firstLine(nitro(["-kernel", eif]).err);
}

/** Asserts that every command reads the certificate in an image, and that PCR8 is that of its DER. */
function expectRead(eif: string, pair: Pair): void {
  const pcr8 = pcrOf(here.der(pair.certificate));
  expect(here.done(["pcr", eif])).toContain(`PCR8 ${pcr8}\n`);
  const described = JSON.parse(here.eif(["describe", "-json", eif]).out);
  expect([described.Measurements.PCR8, described.SignatureCheck]).toEqual([pcr8, true]);
  expect(here.eif(["describe", eif]).out).toContain("yes, the signature is valid");
  const verified = here.eif(["verify", eif, "-signing-certificate", pair.certificate]);
  expect([verified.status, verified.out]).toEqual([0, expect.stringContaining(`PCR8 ${pcr8}\n`)]);
  here.done(["extract", eif, "-o", "parts", "-force"]);
  expect(here.der(here.path("parts/certificate.pem"))).toEqual(here.der(pair.certificate));
  if (!hasDevice) expect(launched(eif)).toStartWith(NO_DEVICE);
}

const plain = here.pair({ curve: "P-256" });
const forms = textForms(here, plain.certificate);

describe("certificate", () => {
  test.each(Object.keys(forms))("certificate: %s is read in an image and from a file", (name) => {
    const text = forms[name] ?? Buffer.alloc(0);
    expectRead(signedWith(plain, text, "form.eif"), plain);
    const file = here.file("form.crt", text);
    expect(here.done(["pcr", "-signing-certificate", file])).toBe(
      `PCR8 ${pcrOf(here.der(plain.certificate))}\n`,
    );
    const signed = here.eif([
      "sign",
      "unsigned.eif",
      "-o",
      "own.eif",
      "-signing-certificate",
      file,
      "-private-key",
      plain.key,
    ]);
    expect(signed.status).toBe(0);
    expectRead(here.path("own.eif"), plain);
  });

  const pairs: readonly (readonly [string, Pair])[] = [
    ["without a name", pairWithoutName(here)],
    ["with explicit curve parameters", pairInForm(here, "P-384", "explicit parameters")],
    ["with a hybrid point", pairInForm(here, "P-521", "a hybrid point")],
  ];
  test.each(pairs)("certificate: one %s signs, and is read in an image", (_, pair) => {
    const signing = ["-signing-certificate", pair.certificate, "-private-key", pair.key];
    here.done(["sign", "unsigned.eif", "-o", "signed.eif", ...signing]);
    expectRead(here.path("signed.eif"), pair);
    expectRead(signedWith(pair, readFileSync(pair.certificate), "theirs.eif"), pair);
  });

  const unreadable = unreadableForms(here, plain.certificate);
  test.each(Object.keys(unreadable))(
    "certificate: the message names the form %s, and PCR8 is never omitted silently",
    (name) => {
      const [text, why] = unreadable[name] ?? [Buffer.alloc(0), ""];
      const eif = signedWith(plain, text, "unreadable.eif");
      const place = /the certificate of section 4 \(signature, type 4\) at byte \d+ /;
      for (const words of [["pcr"], ["pcr", "-json"], ["verify"]]) {
        const message = here.refused([...words, eif]);
        expect(message).toMatch(place);
        expect(message).toContain(why);
      }
      for (const words of [["describe"], ["describe", "-json"], ["extract", "-force", "-o", "parts"]]) {
        const { err, status } = here.eif([...words, eif]);
        expect(err).toContain(why);
        expect(status).toBe(0);
      }
      if (!hasDevice) expect(launched(eif)).toContain(why);
    },
  );
});

test.each([
  ["arn:aws:kms:eu-west-1:123456789012:key/1234abcd", "AWS KMS"],
  ["arn:aws-us-gov:kms:us-gov-west-1:123456789012:alias/enclave", "AWS KMS"],
  ["pkcs11:token=hsm;object=enclave", "a PKCS #11 token"],
])("private key: %s is refused with the two steps that sign with it", (key, service) => {
  const signing = ["-signing-certificate", plain.certificate, "-private-key", key];
  const build = ["build", "-o", "no.eif", "-arch", "x86_64", "-kernel", here.kernel];
  for (const words of [["sign", "unsigned.eif"], build]) {
    const { err, status } = here.eif([...words, ...signing]);
    expect([status, firstLine(err)]).toEqual([
      1,
      expect.stringContaining(`-private-key ${key}: the key is in ${service};`),
    ]);
    expect(err).toContain("-to-be-signed and -signature: nitro eif sign -help\n");
  }
  expect(here.names()).not.toContain("no.eif");
});
