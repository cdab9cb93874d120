/** Every command that reads files from elsewhere: its arguments, and the check of its outcome. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { sigStructure } from "../unit/eif/signing.ts";
import { DEVICE, MEASURED } from "./inside.ts";
import { certificateIn, partOf, type Reading, readAny, readsInSequence, signatureHolds } from "./oracle.ts";
import type { Answer, Place } from "./place.ts";
import {
  ARM64_KERNELS,
  CERTIFICATES,
  IMAGES,
  KEYS,
  OTHER_FILES,
  RAMDISKS,
  REAL_ARM64,
  REAL_IMAGES,
  SEEDS,
  seed,
} from "./seeds.ts";

/** What a check receives: the outcome, the file's bytes and their seed. */
export interface Happened {
  readonly answer: Answer;
  readonly bytes: Uint8Array;
  readonly seedName: string;
  readonly place: Place;
}

/** A command with one broken file. */
export interface Target {
  readonly seeds: readonly string[];
  /** The relative number of cases. */
  readonly weight: number;
  readonly args: (file: string, place: Place) => readonly string[];
  /** Throws if the outcome is wrong. */
  readonly check: (happened: Happened) => void;
}

const good = (name: string) => join(SEEDS, name);
const P384 = ["-signing-certificate", good("p384.crt"), "-private-key", good("p384.key")];
const OWN = readAny(seed("plain.eif"));

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** Returns whether the file was accepted. Throws if it should have been the other way. */
function accepted({ answer }: Happened, should: boolean): boolean {
  const was = answer.kind === "answered" && answer.status === 0;
  if (was !== should) {
    const why =
      answer.kind === "refused" ? answer.message : `status ${answer.status}: ${answer.out.slice(0, 200)}`;
    throw new Error(`wrongly ${should ? "refused" : "accepted"}: ${why}`);
  }
  return was;
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

const whole = (reading: Reading) => reading.broken === undefined && reading.crcHolds;

/** Whether the image is as in its signed seed, as far as its signature depends on it: then it must be valid. */
function stillSigned(reading: Reading, seedName: string): boolean {
  const own =
    seedName.startsWith("signed-") || seedName === "expired.eif" ? readAny(seed(seedName)) : undefined;
  if (own === undefined || reading.broken !== undefined || own.broken !== undefined) return false;
  const section = partOf(reading, "signature");
  return (
    reading.pcrs[0] === own.pcrs[0] &&
    section !== undefined &&
    section.equals(partOf(own, "signature") ?? section)
  );
}

function holds(reading: Reading, forThisImage = true): boolean {
  const section = partOf(reading, "signature");
  if (section === undefined || reading.broken !== undefined) return false;
  const pcr0 = forThisImage ? reading.pcrs[0] : undefined;
  return attempt(() => signatureHolds(section, pcr0).holds) === true;
}

function valid(reading: Reading): boolean {
  const section = partOf(reading, "signature");
  const x509 = attempt(() => signatureHolds(section ?? new Uint8Array(0), "").x509);
  const now = Date.now();
  return x509 !== undefined && Date.parse(x509.validFrom) <= now && now <= Date.parse(x509.validTo);
}

/** Checks an image that nitro has signed. */
function mustBeSigned(bytes: Buffer | undefined): Reading {
  const reading = readAny(bytes ?? Buffer.alloc(0));
  must(whole(reading), `the signed image is broken: ${reading.broken ?? "CRC"}`);
  must(holds(reading), "the signature is not valid");
  return reading;
}

/** All sections except the signature, in their order. */
function content(reading: Reading): string {
  if (reading.broken !== undefined) return "";
  const others = reading.parts.filter(({ type }) => type !== 4);
  return others.map(({ type, payload }) => `${type}:${Bun.hash(payload)}`).join();
}

function checkSigned(happened: Happened, should: boolean, before: Reading): void {
  if (!accepted(happened, should))
    return must(!existsSync(happened.place.path("out")), "a file is left behind");
  must(content(mustBeSigned(happened.place.read("out"))) === content(before), "other sections changed");
}

function canBeSigned(reading: Reading): boolean {
  if (reading.broken !== undefined || !reading.crcHolds || reading.version < 3) return false;
  return reading.parts.length < 32 || partOf(reading, "signature") !== undefined;
}

function sameCertificate(bytes: Uint8Array, name: string): boolean {
  const [a, b] = [bytes, seed(name)].map((pem) => attempt(() => certificateIn(pem).raw));
  return a !== undefined && b !== undefined && a.equals(b);
}

function builtParts(place: Place): Reading {
  const reading = readAny(place.read("out") ?? Buffer.alloc(0));
  must(whole(reading), `the built image is broken: ${reading.broken ?? "CRC"}`);
  return reading;
}

/** Checks that a build has written a valid image, or nothing if it failed. */
function builtOrNothing({ answer, place }: Happened): Reading | undefined {
  if (answer.kind === "answered") return builtParts(place);
  must(!existsSync(place.path("out")), "a file is left behind");
  return undefined;
}

function checkBuiltSigned(happened: Happened): void {
  const built = builtOrNothing(happened);
  if (built !== undefined) mustBeSigned(happened.place.read("out"));
}

/** Returns the expected kernel section: the bytes themselves, or the flat Image in them; undefined if unknown. */
function kernelIn(bytes: Uint8Array): Uint8Array | undefined {
  const latin1 = Buffer.from(bytes.subarray(0, 0x210)).toString("latin1");
  if (latin1.startsWith("\x1f\x8b")) return attempt(() => new Uint8Array(gunzipSync(bytes)));
  return latin1.slice(4, 8) === "zimg" ? undefined : bytes;
}

function checkKernel(kernel: Buffer | undefined, bytes: Uint8Array): void {
  const expected = kernelIn(bytes);
  const flat =
    kernel?.toString("latin1", 0x38, 0x3c) === "ARMd" || kernel?.toString("latin1", 0x202, 0x206) === "HdrS";
  must(flat, "the kernel section is not a kernel");
  if (expected !== undefined)
    must(kernel?.equals(expected) === true, "the kernel section is not the given kernel");
}

const described = (bytes: Uint8Array) => readAny(bytes).broken === undefined || readsInSequence(bytes);

function describes(happened: Happened): void {
  const reading = readAny(happened.bytes);
  if (!accepted(happened, described(happened.bytes)) || reading.broken !== undefined) return;
  const info = JSON.parse(happened.answer.kind === "answered" ? happened.answer.out : "");
  const { PCR0, PCR1, PCR2 } = info.Measurements;
  must(info.EifVersion === reading.version && info.CheckCRC === reading.crcHolds, "version or CRC");
  must(`${[PCR0, PCR1, PCR2]}` === `${reading.pcrs}`, "PCRs");
  must(info.IsSigned === (partOf(reading, "signature") !== undefined), "IsSigned");
  if (info.SignatureCheck === true) must(holds(reading), "an invalid signature is accepted");
  if (stillSigned(reading, happened.seedName))
    must(info.SignatureCheck === true, "a valid signature is rejected");
}

function verifies(happened: Happened): void {
  const { answer, bytes, seedName } = happened;
  const reading = readAny(bytes);
  const was = answer.kind === "answered" && answer.status === 0;
  if (was) must(whole(reading) && holds(reading) && valid(reading), "an invalid image is verified");
  const should = whole(reading) && stillSigned(reading, seedName) && seedName !== "expired.eif";
  if (should) accepted(happened, true);
}

function extracts(happened: Happened): void {
  const { bytes, place } = happened;
  const reading = readAny(bytes);
  if (!accepted(happened, whole(reading)))
    return must(!existsSync(place.path("parts")), "a file is left behind");
  if (reading.broken !== undefined) return;
  const names = readdirSync(place.path("parts")).filter((name) => name !== "certificate.pem");
  must(names.length === reading.parts.length, "not one file per section");
  const files = names.map((name) => place.read(join("parts", name))?.toString("latin1"));
  must(`${files.sort()}` === `${reading.parts.map((p) => p.payload.toString("latin1")).sort()}`, "contents");
}

function measures(happened: Happened): void {
  const { answer, bytes, seedName } = happened;
  const reading = readAny(bytes);
  if (answer.kind === "refused" && answer.message.includes("PCR8 is unknown"))
    return must(whole(reading) && !stillSigned(reading, seedName), "the certificate can be read");
  if (!accepted(happened, whole(reading)) || reading.broken !== undefined) return;
  const out = answer.kind === "answered" ? answer.out : "";
  must(out.startsWith(reading.pcrs.map((pcr, i) => `PCR${i} ${pcr}\n`).join("")), "PCRs");
}

function metadata(happened: Happened): void {
  const text = attempt(() => new TextDecoder("utf-8", { fatal: true }).decode(happened.bytes).trim());
  const value: unknown = text === undefined ? undefined : attempt(() => JSON.parse(text));
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!accepted(happened, isObject && happened.bytes.length <= 4096)) return;
  const all = JSON.parse(partOf(builtParts(happened.place), "metadata")?.toString() ?? "");
  must(JSON.stringify(all.CustomMetadata) === JSON.stringify(value), "not the given metadata");
}

const launchable = ({ answer }: Happened) => answer.kind === "refused" && answer.message.startsWith(DEVICE);

function launchesImage(happened: Happened): void {
  const { bytes, seedName, answer } = happened;
  const reading = readAny(bytes);
  must(answer.kind === "refused", "launched on a machine without the device");
  const fits = whole(reading) && reading.broken === undefined && !reading.arm;
  if (launchable(happened)) {
    // A broken EIF may look like a bzImage.
    if (reading.broken === undefined) must(fits, "an invalid image is launched");
    else
      must(Buffer.from(bytes).toString("latin1", 0x202, 0x206) === "HdrS", `it is broken: ${reading.broken}`);
    // Whether the signature is over this image is known only after it was measured.
    const measured = answer.kind === "refused" && answer.message.includes(MEASURED);
    const good = partOf(reading, "signature") === undefined || (holds(reading, measured) && valid(reading));
    must(good, "an invalid signature is accepted");
  } else {
    const unsigned = partOf(reading, "signature") === undefined;
    const goodSigned = stillSigned(reading, seedName) && seedName !== "expired.eif";
    must(!(fits && (unsigned || goodSigned)), "a valid image is refused");
  }
}

const X86 = ["-arch", "x86_64"];
const ARM = ["-arch", "aarch64"];
const OUT = (place: Place) => ["-o", place.path("out")];
const ALL_IMAGES = [...IMAGES, "spec", "spec", "spec"];
const ORDINARY = ["-kernel", good("bzImage"), "-initrd", good("initrd"), ...X86];
const build = (place: Place, ...args: readonly string[]) => ["eif", "build", ...OUT(place), ...args];
const NO_DEVICE_HERE = !existsSync("/dev/nitro_enclaves");

/** For each command, the files that may be broken. */
export const TARGETS: Readonly<Record<string, Target>> = {
  describe: {
    ...{ seeds: ALL_IMAGES, weight: 130, check: describes },
    args: (file) => ["eif", "describe", file, "-json"],
  },
  "describe, for people": {
    ...{ seeds: ALL_IMAGES, weight: 60 },
    args: (file) => ["eif", "describe", file],
    check(happened) {
      const { answer, bytes } = happened;
      accepted(happened, described(bytes));
      if (answer.kind === "answered")
        must(!/[^\n\x20-\x7e\u00a0-\u{10ffff}]/u.test(answer.out), "control characters");
    },
  },
  verify: {
    ...{ seeds: ALL_IMAGES, weight: 100, check: verifies },
    args: (file) => ["eif", "verify", file],
  },
  "verify, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 30 },
    args: (file) => ["eif", "verify", good("signed-p384.eif"), "-signing-certificate", file],
    check: (happened) => void accepted(happened, sameCertificate(happened.bytes, "p384.crt")),
  },
  extract: {
    ...{ seeds: ALL_IMAGES, weight: 60, check: extracts },
    args: (file, place) => ["eif", "extract", file, "-o", place.path("parts")],
  },
  pcr: { ...{ seeds: ALL_IMAGES, weight: 60, check: measures }, args: (file) => ["eif", "pcr", file] },
  "pcr, a kernel": {
    ...{ seeds: [...ARM64_KERNELS, ...OTHER_FILES], weight: 40 },
    args: (file) => ["eif", "pcr", "-kernel", file, ...ARM],
    check({ answer, bytes }) {
      if (answer.kind === "refused") return;
      must(/^(PCR[012] [0-9a-f]{96}\n){3}$/.test(answer.out), "three PCRs");
      must(kernelIn(bytes) !== bytes || bytes.length > 0x3c, "not a kernel");
    },
  },
  "pcr, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 30 },
    args: (file) => ["eif", "pcr", "-signing-certificate", file],
    check({ answer, bytes }) {
      if (answer.kind === "refused") return;
      const der = attempt(() => certificateIn(bytes).raw);
      const inner = new Bun.CryptoHasher("sha384").update(der ?? new Uint8Array(0)).digest();
      const pcr8 = new Bun.CryptoHasher("sha384").update(new Uint8Array(48)).update(inner).digest("hex");
      must(der !== undefined && answer.out === `PCR8 ${pcr8}\n`, "PCR8");
    },
  },
  "sign, an image": {
    ...{ seeds: ALL_IMAGES, weight: 90 },
    args: (file, place) => ["eif", "sign", file, ...P384, ...OUT(place)],
    check: (happened) => checkSigned(happened, canBeSigned(readAny(happened.bytes)), readAny(happened.bytes)),
  },
  "sign, in place": {
    ...{ seeds: ALL_IMAGES, weight: 30 },
    args: (file) => ["eif", "sign", file, ...P384],
    check(happened) {
      const before = readAny(happened.bytes);
      const after = happened.place.read("thrown");
      if (!accepted(happened, canBeSigned(before)))
        return must(after?.equals(happened.bytes) === true, "the image was changed");
      must(content(mustBeSigned(after)) === content(before), "other sections changed");
    },
  },
  "sign, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 40 },
    args: (file, place) => {
      const args = ["eif", "sign", good("plain.eif"), "-signing-certificate", file];
      return [...args, "-private-key", good("p384.key"), ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "sign, a key": {
    ...{ seeds: KEYS, weight: 40 },
    args: (file, place) => {
      const args = ["eif", "sign", good("plain.eif"), "-signing-certificate", good("p384.crt")];
      return [...args, "-private-key", file, ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "sign, the first step": {
    ...{ seeds: ALL_IMAGES, weight: 30 },
    args: (file, place) => {
      const args = ["eif", "sign", file, "-signing-certificate", good("p384.crt")];
      return [...args, "-to-be-signed", place.path("out")];
    },
    check(happened) {
      const reading = readAny(happened.bytes);
      if (!accepted(happened, canBeSigned(reading)) || reading.broken !== undefined) return;
      const expected = sigStructure("P-384", Buffer.from(reading.pcrs[0], "hex"));
      must(happened.place.read("out")?.equals(expected) === true, "not the bytes to be signed");
    },
  },
  "sign, the second step": {
    ...{ seeds: ["signature.der", "signature.raw"], weight: 40 },
    args: (file, place) => {
      const args = ["eif", "sign", good("plain.eif"), "-signing-certificate", good("p384.crt")];
      return [...args, "-signature", file, ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "build, a kernel": {
    ...{ seeds: ["bzImage", ...OTHER_FILES, ...ARM64_KERNELS], weight: 40 },
    args: (file, place) => build(place, "-kernel", file, ...X86),
    check(happened) {
      const built = builtOrNothing(happened);
      if (built !== undefined) checkKernel(partOf(built, "kernel"), happened.bytes);
    },
  },
  "build, a kernel for arm64": {
    ...{ seeds: [...ARM64_KERNELS, ...OTHER_FILES], weight: 60 },
    args: (file, place) => build(place, "-kernel", file, ...ARM),
    check(happened) {
      const built = builtOrNothing(happened);
      if (built !== undefined) checkKernel(partOf(built, "kernel"), happened.bytes);
    },
  },
  "build, a ramdisk": {
    ...{ seeds: RAMDISKS, weight: 60 },
    args: (file, place) => build(place, "-kernel", good("bzImage"), "-initrd", file, ...X86),
    check(happened) {
      const { bytes, place } = happened;
      if (!accepted(happened, bytes.length > 0)) return;
      const built = builtParts(place);
      const disk =
        built.broken === undefined ? built.parts.find(({ type }) => type === 3)?.payload : undefined;
      must(disk?.equals(bytes) === true, "the ramdisk section is not the given ramdisk");
    },
  },
  "build, metadata": {
    ...{ seeds: ["metadata.json"], weight: 40, check: metadata },
    args: (file, place) => build(place, ...ORDINARY, "-metadata", file),
  },
  "build, a key": {
    ...{ seeds: KEYS, weight: 20, check: checkBuiltSigned },
    args: (file, place) =>
      build(place, ...ORDINARY, "-private-key", file, "-signing-certificate", good("p256.crt")),
  },
  "build, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 20, check: checkBuiltSigned },
    args: (file, place) =>
      build(place, ...ORDINARY, "-private-key", good("p521.key"), "-signing-certificate", file),
  },
  ...(NO_DEVICE_HERE && process.arch === "x64" ? launchTargets() : {}),
};

function launchTargets(): Record<string, Target> {
  return {
    "launch, an image": {
      ...{ seeds: ALL_IMAGES, weight: 100, check: launchesImage },
      args: (file) => ["-kernel", file, "-m", "96M"],
    },
    "launch, a kernel": {
      ...{ seeds: ["bzImage", ...OTHER_FILES, ...ARM64_KERNELS], weight: 40 },
      args: (file) => ["-kernel", file, "-m", "96M"],
      check(happened) {
        const reading = readAny(happened.bytes);
        const looks = Buffer.from(happened.bytes).toString("latin1", 0x202, 0x206) === "HdrS";
        if (launchable(happened)) must(looks || whole(reading), "launched without a kernel");
      },
    },
    "launch, a ramdisk": {
      ...{ seeds: RAMDISKS, weight: 40 },
      args: (file) => ["-kernel", good("bzImage"), "-initrd", file, "-m", "96M"],
      check: (happened) =>
        must(
          launchable(happened) === happened.bytes.length > 0,
          "a ramdisk is refused, or an empty one accepted",
        ),
    },
  };
}

/** The same with real images, which are a hundred times slower. */
export const REAL_TARGETS: Readonly<Record<string, Target>> = Object.fromEntries(
  ["describe", "extract", "sign, an image", "launch, an image", "build, a kernel for arm64"].flatMap(
    (name) => {
      const target = TARGETS[name];
      const seeds = name.startsWith("build") ? REAL_ARM64 : REAL_IMAGES;
      return target === undefined ? [] : [[`${name}, a real one`, { ...target, seeds, weight: 1 }]];
    },
  ),
);
