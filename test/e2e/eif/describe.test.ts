/** `nitro eif describe`, `extract` and `pcr`. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../package.json" with { type: "json" };
import { section, writeEif } from "../../unit/eif/eif-writer.ts";
import type { Pair } from "../../unit/eif/signing.ts";
import { payload, pcrOf, readEifFile } from "./eif-file.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());
const pair: Pair = here.pair({ curve: "P-256", subject: "/C=DE/ST=Hessen/O=A/CN=one" });
const own = here.file("own.json", '{"team": {"name": "a"}}');
const args = ["-append", "console=ttyS0", "-M", `ramdisk=${here.second}`, "-metadata", own, "-name", "app"];
const signing = ["-signing-certificate", pair.certificate, "-private-key", pair.key];
const signed = here.built("signed.eif", ...args, ...signing);
const plain = here.built("plain.eif");

describe("describe", () => {
  test("eif describe -json: has exactly the keys of AWS's describe-eif, in their order", () => {
    const { pcrs } = readEifFile(signed);
    const described = JSON.parse(here.done(["describe", "signed.eif", "-json"]));
    const { SigningCertificate } = described;
    expect(JSON.stringify(described)).toBe(
      JSON.stringify({
        EifVersion: 4,
        Measurements: {
          HashAlgorithm: "Sha384 { ... }",
          PCR0: pcrs[0],
          PCR1: pcrs[1],
          PCR2: pcrs[2],
          PCR8: pcrOf(here.der(pair.certificate)),
        },
        IsSigned: true,
        SigningCertificate: {
          IssuerName: {
            commonName: "one",
            countryName: "DE",
            organizationName: "A",
            stateOrProvinceName: "Hessen",
          },
          Algorithm: "ecdsa-with-SHA384",
          NotBefore: "Jan  1 00:00:00 2020 GMT",
          NotAfter: "Jan  1 00:00:00 2120 GMT",
          Signature: SigningCertificate.Signature,
        },
        CheckCRC: true,
        SignatureCheck: true,
        ImageName: "app",
        ImageVersion: "1.0",
        Metadata: {
          team: { name: "a" },
          BuildTime: "",
          BuildTool: "nitro",
          BuildToolVersion: version,
          OperatingSystem: "Generic Linux",
          KernelVersion: "Unknown version",
          DockerInfo: null,
        },
      }),
    );
    const text = here.openssl("x509", "-in", pair.certificate, "-noout", "-text").toString();
    const hex = text
      .slice(text.lastIndexOf("Signature Value") + 16)
      .replace(/\s/g, "")
      .toUpperCase();
    expect(SigningCertificate.Signature).toBe(hex);
  });

  test("eif describe -json: has no keys about a signature or metadata that the image lacks", () => {
    const keys = ["EifVersion", "Measurements", "IsSigned", "CheckCRC"];
    const of = (name: string) => JSON.parse(here.done(["describe", "-json", name]));
    expect(Object.keys(of("plain.eif"))).toEqual([...keys, "ImageName", "ImageVersion", "Metadata"]);
    expect(of("plain.eif").IsSigned).toBe(false);
    here.done(["build", "-like-qemu", "-o", "bare.eif", "-arch", "x86_64", "-kernel", here.kernel]);
    expect(Object.keys(of("bare.eif"))).toEqual(keys);
  });

  test("eif describe: the text has the same contents, and the offset of each section", () => {
    const text = here.done(["describe", "signed.eif"]);
    const { table, bytes, pcrs } = readEifFile(signed);
    for (const part of [
      `EIF version 4 for x86_64, ${bytes.length} bytes`,
      ", matches the header\n",
      ...table.map(([offset, size]) => `at byte ${offset + 12}, ${size} bytes`),
      "command  console=ttyS0\n",
      ...pcrs.map((pcr, i) => `PCR${i} ${pcr}\n`),
      "yes, the signature is valid (section 5 (signature, type 4) at byte ",
      "C=DE, ST=Hessen, O=A, CN=one",
      "(valid now)",
      'custom {"team":{"name":"a"}}\n',
    ]) {
      expect(text.replace(/ +/g, " ")).toContain(part.replace(/ +/g, " "));
    }
  });

  test("eif describe: describes a damaged image and its damage", () => {
    const bytes = Buffer.from(readFileSync(signed));
    bytes[2000] = (bytes[2000] ?? 0) ^ 1;
    here.file("damaged.eif", bytes);
    const info = JSON.parse(here.done(["describe", "damaged.eif", "-json"]));
    expect([info.CheckCRC, info.SignatureCheck]).toEqual([false, false]);
    const text = here.done(["describe", "damaged.eif"]);
    expect(text).toContain(": the image is damaged\n");
    expect(text).toContain("invalid signature: it signs a PCR0 that is not this image's");
  });

  test("eif describe: text from the image cannot control the terminal or add lines", () => {
    const evil = "\x1b]0;owned\x07\nPCR0 0000\x9b31m\x7f";
    const metadata = JSON.stringify({
      ImageName: evil,
      BuildMetadata: { [evil]: evil },
      CustomMetadata: { [evil]: 1 },
    });
    const sections = [section("kernel", "k"), section("cmdline", evil), section("metadata", metadata)];
    here.file("evil.eif", writeEif({ sections }));
    for (const out of [here.done(["describe", "evil.eif"]), here.done(["describe", "evil.eif", "-json"])]) {
      const isControl = (code: number) => (code < 0x20 && code !== 0x0a) || (code >= 0x7f && code < 0xa0);
      expect(Array.from(out).filter((char) => isControl(char.charCodeAt(0)))).toEqual([]);
      expect(out.match(/^PCR0/gm)?.length ?? 0).toBeLessThan(2);
    }
    expect(JSON.parse(here.done(["describe", "evil.eif", "-json"])).ImageName).toBe(evil);
  });

  test.each([
    ["no object", "[]"],
    ["no JSON", "\xff{"],
    ["deep nesting", `${"[".repeat(100_000)}`],
    ["a deep object", `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`],
    ["odd types", '{"ImageName": 1, "BuildMetadata": [], "DockerInfo": "x", "CustomMetadata": 7}'],
    [
      "a prototype",
      '{"__proto__": {"ImageName": "x"}, "BuildMetadata": {"__proto__": 1}, "CustomMetadata": {"constructor": 1}}',
    ],
  ])("eif describe: metadata of %s is described without an error", (_, text) => {
    const sections = [section("kernel", "k"), section("cmdline", ""), section("metadata", text)];
    here.file("odd.eif", writeEif({ sections }));
    expect(here.done(["describe", "odd.eif"])).toContain("metadata");
    expect(JSON.parse(here.done(["describe", "odd.eif", "-json"])).ImageName).toBeUndefined();
  });

  test("eif describe: refuses a file that is not an image, and names it", () => {
    expect(here.refused(["describe", "bzImage"])).toBe("bzImage: not an EIF: it does not start with .eif");
    expect(here.refused(["describe", here.file("empty", "")])).toEndWith("empty: the file is empty");
    expect(here.refused(["describe", "none"])).toBe("none: No such file or directory (ENOENT)");
    expect(here.refused(["describe", "."])).toBe(".: Is a directory (EISDIR)");
    expect(here.refused(["describe"])).toBe("eif describe: no image given");
    here.file("cut.eif", readFileSync(plain).subarray(0, 600));
    expect(here.refused(["describe", "cut.eif"])).toBe(
      "cut.eif: section 0 (kernel, type 1) at byte 548: its 1000003 bytes from byte 560 extend past the end of the file (600 bytes)",
    );
  });
});

describe("extract", () => {
  test("eif extract: writes each section unchanged, and the certificate", () => {
    const out = here.done(["extract", "signed.eif", "-o", "parts"]);
    const file = readEifFile(signed);
    const part = (name: string) => readFileSync(here.path(join("parts", name)));
    expect(readdirSync(here.path("parts")).sort()).toEqual([
      "certificate.pem",
      "cmdline",
      "kernel",
      "metadata.json",
      "ramdisk-1",
      "ramdisk-2",
      "signature.cbor",
    ]);
    expect(part("kernel").equals(readFileSync(here.kernel))).toBe(true);
    expect(part("cmdline").toString()).toBe("console=ttyS0");
    expect(part("ramdisk-1").equals(readFileSync(here.initrd))).toBe(true);
    expect(part("ramdisk-2").equals(readFileSync(here.second))).toBe(true);
    expect(part("metadata.json").equals(payload(file, "metadata"))).toBe(true);
    expect(part("signature.cbor").equals(payload(file, "signature"))).toBe(true);
    expect(part("certificate.pem").equals(readFileSync(pair.certificate))).toBe(true);
    expect(out).toContain("parts/kernel: 1000003 bytes\n");
  });

  test("eif extract: an image built from the extracted files has the same PCRs", () => {
    const at = (name: string) => here.path(join("again", name));
    here.done(["extract", "signed.eif", "-o", "again"]);
    here.done([
      "build",
      "-o",
      "again.eif",
      "-arch",
      "x86_64",
      "-kernel",
      at("kernel"),
      "-initrd",
      at("ramdisk-1"),
      "-append",
      readFileSync(at("cmdline"), "utf8"),
      "-M",
      `ramdisk=${at("ramdisk-2")}`,
    ]);
    expect(readEifFile(here.path("again.eif")).pcrs).toEqual(readEifFile(signed).pcrs);
  });

  test("eif extract: replaces existing files only with -force, and leaves other files alone", () => {
    mkdirSync(here.path("full"));
    writeFileSync(here.path("full/ramdisk-1"), "mine");
    writeFileSync(here.path("full/other"), "mine");
    expect(here.refused(["extract", "signed.eif", "-o", "full"])).toBe("full/ramdisk-1: the file exists");
    expect(readdirSync(here.path("full")).sort()).toEqual(["other", "ramdisk-1"]);
    const { Files } = JSON.parse(here.done(["extract", "signed.eif", "-o", "full", "-force", "-json"]));
    expect(Files.length).toBe(7);
    expect(Files[0]).toEqual({ Path: "full/kernel", Size: 1_000_003 });
    expect(readdirSync(here.path("full")).length).toBe(8);
    expect(readFileSync(here.path("full/other"), "utf8")).toBe("mine");
    expect(readFileSync(here.path("full/ramdisk-1")).equals(readFileSync(here.initrd))).toBe(true);
  });

  test("eif extract: follows no symbolic link out of the directory", () => {
    mkdirSync(here.path("trap"));
    here.file("outside", "mine");
    symlinkSync("../outside", here.path("trap/kernel"));
    symlinkSync("../nowhere", here.path("trap/cmdline"));
    expect(here.refused(["extract", "plain.eif", "-o", "trap"])).toBe("trap/kernel: the file exists");
    here.done(["extract", "plain.eif", "-o", "trap", "-force"]);
    expect(readFileSync(here.path("outside"), "utf8")).toBe("mine");
    expect(here.names()).not.toContain("nowhere");
    expect(readFileSync(here.path("trap/kernel")).equals(readFileSync(here.kernel))).toBe(true);
  });

  test("eif extract: leaves no file and no directory after a failure", () => {
    const bytes = Buffer.from(readFileSync(plain));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    here.file("damaged.eif", bytes);
    const names = here.names();
    expect(here.refused(["extract", "damaged.eif", "-o", "gone"])).toContain("the file is damaged");
    expect(here.refused(["extract", "plain.eif", "-o", "bzImage"])).toBe("-o bzImage: not a directory");
    expect(here.refused(["extract", "plain.eif", "-o", "a/b"])).toBe(
      "-o a/b: No such file or directory (ENOENT)",
    );
    mkdirSync(here.path("hinders"));
    mkdirSync(here.path("hinders/cmdline"));
    expect(here.refused(["extract", "plain.eif", "-o", "hinders", "-force"])).toBe(
      "hinders/cmdline: it is a directory",
    );
    expect(readdirSync(here.path("hinders"))).toEqual(["cmdline"]);
    expect(here.names()).toEqual([...names, "hinders"].sort());
  });
});

describe("pcr", () => {
  const lines = (pcrs: readonly string[]) => pcrs.map((pcr, i) => `PCR${i} ${pcr}\n`).join("");
  const PCR3 =
    "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6";
  const ROLE = "arn:aws:iam::123456789012:role/Webserver";

  test("eif pcr: the PCRs of an image equal those of a launch with the same options", () => {
    const { pcrs } = readEifFile(plain);
    expect(here.done(["pcr", "plain.eif"])).toBe(lines(pcrs));
    expect(here.done(["pcr", "-arch", "x86_64", "-kernel", here.kernel, "-initrd", here.initrd])).toBe(
      lines(pcrs),
    );
    const several = ["-append", "console=ttyS0", "-M", `nitro,ramdisk=${here.second}`];
    expect(
      here.done(["pcr", "-arch", "x86_64", "-kernel", here.kernel, "-initrd", here.initrd, ...several]),
    ).toBe(lines(readEifFile(signed).pcrs));
  });

  test("eif pcr: computes the PCR of a certificate, a role and an instance", () => {
    const PCR8 = pcrOf(here.der(pair.certificate));
    expect(here.done(["pcr", "-signing-certificate", pair.certificate])).toBe(`PCR8 ${PCR8}\n`);
    expect(here.done(["pcr", "signed.eif"])).toEndWith(`PCR8 ${PCR8}\n`);
    const out = here.done(["pcr", "-role-arn", ROLE, "-instance-id", "i-1234567890abcdef0", "-json"]);
    const { Measurements } = JSON.parse(out);
    expect(Object.keys(Measurements)).toEqual(["HashAlgorithm", "PCR3", "PCR4"]);
    expect(Measurements.PCR3).toBe(PCR3);
    const hash = new Bun.CryptoHasher("sha384").update(new Uint8Array(48)).update("i-1234567890abcdef0");
    expect(Measurements.PCR4).toBe(hash.digest("hex"));
  });

  test.each([
    [["pcr"], "eif pcr: no image given"],
    [["pcr", "plain.eif", "-kernel", "x"], "-kernel: conflicts with the image plain.eif"],
    [["pcr", "plain.eif", "signed.eif"], "signed.eif: unexpected argument"],
    [["pcr", "-initrd", "x"], "-kernel: missing; an image has a kernel"],
    [["pcr", "-role-arn", "Webserver"], "-role-arn Webserver: not the ARN of an IAM role"],
    [
      ["pcr", "-role-arn", "arn:aws:iam::123456789012:instance-profile/W"],
      "-role-arn arn:aws:iam::123456789012:instance-profile/W: this is an instance profile, not the role in it",
    ],
    [["pcr", "-instance-id", "i-1"], "-instance-id i-1: not an instance ID"],
    [
      ["pcr", "-arch", "x86_64", "-kernel", "plain.eif"],
      "-kernel plain.eif: it is an EIF; an enclave on x86_64 boots an x86 bzImage, and with anything else it hangs without output",
    ],
  ])("eif pcr: refuses %j", (typed, message) => {
    expect(here.refused(typed)).toBe(message);
  });
});
