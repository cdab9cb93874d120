/** Every command that reads a file of somebody's: what it is given, and what must be true of what comes of it. */

import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { sigStructure } from "../unit/eif/signing.ts";
import { DEVICE, MEASURED } from "./inside.ts";
import { partOf, type Reading, readAny, signatureHolds } from "./oracle.ts";
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

/** What a check is given: the bytes that were thrown, and where they came from. */
export interface Happened {
  readonly answer: Answer;
  readonly bytes: Uint8Array;
  readonly seedName: string;
  readonly place: Place;
}

/** A command with one broken file. */
export interface Target {
  readonly seeds: readonly string[];
  /** Of a hundred thousand cases, roughly, how many times a hundred. */
  readonly weight: number;
  readonly words: (file: string, place: Place) => readonly string[];
  /** Throws where what came is not right. */
  readonly check: (happened: Happened) => void;
}

const good = (name: string) => join(SEEDS, name);
const P384 = ["-signing-certificate", good("p384.crt"), "-private-key", good("p384.key")];
const OWN = readAny(seed("plain.eif"));

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** That it was taken just when it should be. */
function taken({ answer }: Happened, should: boolean): boolean {
  const was = answer.kind === "answered" && answer.status === 0;
  if (was !== should) {
    const why =
      answer.kind === "refused" ? answer.message : `status ${answer.status}: ${answer.out.slice(0, 200)}`;
    throw new Error(`${should ? "refused" : "taken"}, and should not be: ${why}`);
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

/** Signed by its seed, and nothing that the signature depends on is another: it must hold. */
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

/** A signed image that must hold in every way, by what the program wrote. */
function mustBeSigned(bytes: Buffer | undefined): Reading {
  const reading = readAny(bytes ?? Buffer.alloc(0));
  must(whole(reading), `the signed image is broken: ${reading.broken ?? "CRC"}`);
  must(holds(reading), "the signature does not hold");
  return reading;
}

/** All parts but the signature, in their order. */
function content(reading: Reading): string {
  if (reading.broken !== undefined) return "";
  const others = reading.parts.filter(({ type }) => type !== 4);
  return others.map(({ type, payload }) => `${type}:${Bun.hash(payload)}`).join();
}

function checkSigned(happened: Happened, should: boolean, before: Reading): void {
  if (!taken(happened, should))
    return must(!existsSync(happened.place.path("out")), "something is left behind");
  must(content(mustBeSigned(happened.place.read("out"))) === content(before), "other sections changed");
}

function canBeSigned(reading: Reading): boolean {
  if (reading.broken !== undefined || !reading.crcHolds || reading.version < 3) return false;
  return reading.parts.length < 32 || partOf(reading, "signature") !== undefined;
}

function sameCertificate(bytes: Uint8Array, name: string): boolean {
  const [a, b] = [bytes, seed(name)].map((pem) => attempt(() => new X509Certificate(pem).raw));
  return a !== undefined && b !== undefined && a.equals(b);
}

function builtParts(place: Place): Reading {
  const reading = readAny(place.read("out") ?? Buffer.alloc(0));
  must(whole(reading), `what was built is broken: ${reading.broken ?? "CRC"}`);
  return reading;
}

/** Where a build was taken at all, what it made must be good; where not, nothing is there. */
function builtOrNothing({ answer, place }: Happened): Reading | undefined {
  if (answer.kind === "answered") return builtParts(place);
  must(!existsSync(place.path("out")), "something is left behind");
  return undefined;
}

function checkBuiltSigned(happened: Happened): void {
  const built = builtOrNothing(happened);
  if (built !== undefined) mustBeSigned(happened.place.read("out"));
}

/** What goes in as the kernel: the bytes themselves, or the flat Image that is in them. */
function kernelIn(bytes: Uint8Array): Uint8Array | undefined {
  const latin1 = Buffer.from(bytes.subarray(0, 0x210)).toString("latin1");
  if (latin1.startsWith("\x1f\x8b")) return attempt(() => new Uint8Array(gunzipSync(bytes)));
  return latin1.slice(4, 8) === "zimg" ? undefined : bytes;
}

function checkKernel(kernel: Buffer | undefined, bytes: Uint8Array): void {
  const expected = kernelIn(bytes);
  const flat =
    kernel?.toString("latin1", 0x38, 0x3c) === "ARMd" || kernel?.toString("latin1", 0x202, 0x206) === "HdrS";
  must(flat, "what went in is no kernel");
  if (expected !== undefined)
    must(kernel?.equals(expected) === true, "another kernel went in than was given");
}

function describes(happened: Happened): void {
  const reading = readAny(happened.bytes);
  if (!taken(happened, reading.broken === undefined) || reading.broken !== undefined) return;
  const told = JSON.parse(happened.answer.kind === "answered" ? happened.answer.out : "");
  const { PCR0, PCR1, PCR2 } = told.Measurements;
  must(told.EifVersion === reading.version && told.CheckCRC === reading.crcHolds, "version or CRC");
  must(`${[PCR0, PCR1, PCR2]}` === `${reading.pcrs}`, "PCRs");
  must(told.IsSigned === (partOf(reading, "signature") !== undefined), "IsSigned");
  if (told.SignatureCheck === true) must(holds(reading), "a signature holds that should not");
  if (stillSigned(reading, happened.seedName))
    must(told.SignatureCheck === true, "a signature does not hold");
}

function verifies(happened: Happened): void {
  const { answer, bytes, seedName } = happened;
  const reading = readAny(bytes);
  const was = answer.kind === "answered" && answer.status === 0;
  if (was) must(whole(reading) && holds(reading) && valid(reading), "verified, and should not be");
  const should = whole(reading) && stillSigned(reading, seedName) && seedName !== "expired.eif";
  if (should) taken(happened, true);
}

function extracts(happened: Happened): void {
  const { bytes, place } = happened;
  const reading = readAny(bytes);
  if (!taken(happened, whole(reading)))
    return must(!existsSync(place.path("parts")), "something is left behind");
  if (reading.broken !== undefined) return;
  const names = readdirSync(place.path("parts")).filter((name) => name !== "certificate.pem");
  must(names.length === reading.parts.length, "as many files as sections");
  const files = names.map((name) => place.read(join("parts", name))?.toString("latin1"));
  must(`${files.sort()}` === `${reading.parts.map((p) => p.payload.toString("latin1")).sort()}`, "contents");
}

function measures(happened: Happened): void {
  const reading = readAny(happened.bytes);
  if (!taken(happened, whole(reading)) || reading.broken !== undefined) return;
  const out = happened.answer.kind === "answered" ? happened.answer.out : "";
  must(out.startsWith(reading.pcrs.map((pcr, i) => `PCR${i} ${pcr}\n`).join("")), "PCRs");
}

function metadata(happened: Happened): void {
  const text = attempt(() => new TextDecoder("utf-8", { fatal: true }).decode(happened.bytes).trim());
  const value: unknown = text === undefined ? undefined : attempt(() => JSON.parse(text));
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!taken(happened, isObject && happened.bytes.length <= 4096)) return;
  const all = JSON.parse(partOf(builtParts(happened.place), "metadata")?.toString() ?? "");
  must(JSON.stringify(all.CustomMetadata) === JSON.stringify(value), "another metadata than was given");
}

const launchable = ({ answer }: Happened) => answer.kind === "refused" && answer.message.startsWith(DEVICE);

function launchesImage(happened: Happened): void {
  const { bytes, seedName, answer } = happened;
  const reading = readAny(bytes);
  must(answer.kind === "refused", "a launch on a machine without the device");
  const fits = whole(reading) && reading.broken === undefined && !reading.arm;
  if (launchable(happened)) {
    // What is no EIF may be a kernel: a bzImage by its looks.
    if (reading.broken === undefined) must(fits, "an image goes to the driver that should not");
    else
      must(Buffer.from(bytes).toString("latin1", 0x202, 0x206) === "HdrS", `it is broken: ${reading.broken}`);
    // Whether the signature is over this image is known where it is measured.
    const measured = answer.kind === "refused" && answer.message.includes(MEASURED);
    const good = partOf(reading, "signature") === undefined || (holds(reading, measured) && valid(reading));
    must(good, "a bad signature");
  } else {
    const unsigned = partOf(reading, "signature") === undefined;
    const goodSigned = stillSigned(reading, seedName) && seedName !== "expired.eif";
    must(!(fits && (unsigned || goodSigned)), "a good image is refused");
  }
}

const X86 = ["-arch", "x86_64"];
const ARM = ["-arch", "aarch64"];
const OUT = (place: Place) => ["-o", place.path("out")];
const ALL_IMAGES = [...IMAGES, "spec", "spec", "spec"];
const ORDINARY = ["-kernel", good("bzImage"), "-initrd", good("initrd"), ...X86];
const build = (place: Place, ...words: readonly string[]) => ["eif", "build", ...OUT(place), ...words];
const NO_DEVICE_HERE = !existsSync("/dev/nitro_enclaves");

/** Of each command, what may be broken. */
export const TARGETS: Readonly<Record<string, Target>> = {
  describe: {
    ...{ seeds: ALL_IMAGES, weight: 130, check: describes },
    words: (file) => ["eif", "describe", file, "-json"],
  },
  "describe, for people": {
    ...{ seeds: ALL_IMAGES, weight: 60 },
    words: (file) => ["eif", "describe", file],
    check(happened) {
      const { answer, bytes } = happened;
      taken(happened, readAny(bytes).broken === undefined);
      if (answer.kind === "answered")
        must(!/[^\n\x20-\x7e\u00a0-\u{10ffff}]/u.test(answer.out), "control characters");
    },
  },
  verify: {
    ...{ seeds: ALL_IMAGES, weight: 100, check: verifies },
    words: (file) => ["eif", "verify", file],
  },
  "verify, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 30 },
    words: (file) => ["eif", "verify", good("signed-p384.eif"), "-signing-certificate", file],
    check: (happened) => void taken(happened, sameCertificate(happened.bytes, "p384.crt")),
  },
  extract: {
    ...{ seeds: ALL_IMAGES, weight: 60, check: extracts },
    words: (file, place) => ["eif", "extract", file, "-o", place.path("parts")],
  },
  pcr: { ...{ seeds: ALL_IMAGES, weight: 60, check: measures }, words: (file) => ["eif", "pcr", file] },
  "pcr, a kernel": {
    ...{ seeds: [...ARM64_KERNELS, ...OTHER_FILES], weight: 40 },
    words: (file) => ["eif", "pcr", "-kernel", file, ...ARM],
    check({ answer, bytes }) {
      if (answer.kind === "refused") return;
      must(/^(PCR[012] [0-9a-f]{96}\n){3}$/.test(answer.out), "three PCRs");
      must(kernelIn(bytes) !== bytes || bytes.length > 0x3c, "no kernel");
    },
  },
  "pcr, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 30 },
    words: (file) => ["eif", "pcr", "-signing-certificate", file],
    check({ answer, bytes }) {
      if (answer.kind === "refused") return;
      const der = attempt(() => new X509Certificate(bytes).raw);
      const inner = new Bun.CryptoHasher("sha384").update(der ?? new Uint8Array(0)).digest();
      const pcr8 = new Bun.CryptoHasher("sha384").update(new Uint8Array(48)).update(inner).digest("hex");
      must(der !== undefined && answer.out === `PCR8 ${pcr8}\n`, "PCR8");
    },
  },
  "sign, an image": {
    ...{ seeds: ALL_IMAGES, weight: 90 },
    words: (file, place) => ["eif", "sign", file, ...P384, ...OUT(place)],
    check: (happened) => checkSigned(happened, canBeSigned(readAny(happened.bytes)), readAny(happened.bytes)),
  },
  "sign, in place": {
    ...{ seeds: ALL_IMAGES, weight: 30 },
    words: (file) => ["eif", "sign", file, ...P384],
    check(happened) {
      const before = readAny(happened.bytes);
      const after = happened.place.read("thrown");
      if (!taken(happened, canBeSigned(before)))
        return must(after?.equals(happened.bytes) === true, "it was changed");
      must(content(mustBeSigned(after)) === content(before), "other sections changed");
    },
  },
  "sign, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 40 },
    words: (file, place) => {
      const words = ["eif", "sign", good("plain.eif"), "-signing-certificate", file];
      return [...words, "-private-key", good("p384.key"), ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "sign, a key": {
    ...{ seeds: KEYS, weight: 40 },
    words: (file, place) => {
      const words = ["eif", "sign", good("plain.eif"), "-signing-certificate", good("p384.crt")];
      return [...words, "-private-key", file, ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "sign, the first step": {
    ...{ seeds: ALL_IMAGES, weight: 30 },
    words: (file, place) => {
      const words = ["eif", "sign", file, "-signing-certificate", good("p384.crt")];
      return [...words, "-to-be-signed", place.path("out")];
    },
    check(happened) {
      const reading = readAny(happened.bytes);
      if (!taken(happened, canBeSigned(reading)) || reading.broken !== undefined) return;
      const expected = sigStructure("P-384", Buffer.from(reading.pcrs[0], "hex"));
      must(happened.place.read("out")?.equals(expected) === true, "other bytes are to be signed");
    },
  },
  "sign, the second step": {
    ...{ seeds: ["signature.der", "signature.raw"], weight: 40 },
    words: (file, place) => {
      const words = ["eif", "sign", good("plain.eif"), "-signing-certificate", good("p384.crt")];
      return [...words, "-signature", file, ...OUT(place)];
    },
    check: (happened) => checkSigned(happened, happened.answer.kind === "answered", OWN),
  },
  "build, a kernel": {
    ...{ seeds: ["bzImage", ...OTHER_FILES, ...ARM64_KERNELS], weight: 40 },
    words: (file, place) => build(place, "-kernel", file, ...X86),
    check(happened) {
      const built = builtOrNothing(happened);
      if (built !== undefined) checkKernel(partOf(built, "kernel"), happened.bytes);
    },
  },
  "build, a kernel for arm64": {
    ...{ seeds: [...ARM64_KERNELS, ...OTHER_FILES], weight: 60 },
    words: (file, place) => build(place, "-kernel", file, ...ARM),
    check(happened) {
      const built = builtOrNothing(happened);
      if (built !== undefined) checkKernel(partOf(built, "kernel"), happened.bytes);
    },
  },
  "build, a ramdisk": {
    ...{ seeds: RAMDISKS, weight: 60 },
    words: (file, place) => build(place, "-kernel", good("bzImage"), "-initrd", file, ...X86),
    check(happened) {
      const { bytes, place } = happened;
      if (!taken(happened, bytes.length > 0)) return;
      const built = builtParts(place);
      const disk =
        built.broken === undefined ? built.parts.find(({ type }) => type === 3)?.payload : undefined;
      must(disk?.equals(bytes) === true, "another ramdisk went in than was given");
    },
  },
  "build, metadata": {
    ...{ seeds: ["metadata.json"], weight: 40, check: metadata },
    words: (file, place) => build(place, ...ORDINARY, "-metadata", file),
  },
  "build, a key": {
    ...{ seeds: KEYS, weight: 20, check: checkBuiltSigned },
    words: (file, place) =>
      build(place, ...ORDINARY, "-private-key", file, "-signing-certificate", good("p256.crt")),
  },
  "build, a certificate": {
    ...{ seeds: CERTIFICATES, weight: 20, check: checkBuiltSigned },
    words: (file, place) =>
      build(place, ...ORDINARY, "-private-key", good("p521.key"), "-signing-certificate", file),
  },
  ...(NO_DEVICE_HERE && process.arch === "x64" ? launchTargets() : {}),
};

function launchTargets(): Record<string, Target> {
  return {
    "launch, an image": {
      ...{ seeds: ALL_IMAGES, weight: 100, check: launchesImage },
      words: (file) => ["-kernel", file, "-m", "96M"],
    },
    "launch, a kernel": {
      ...{ seeds: ["bzImage", ...OTHER_FILES, ...ARM64_KERNELS], weight: 40 },
      words: (file) => ["-kernel", file, "-m", "96M"],
      check(happened) {
        const reading = readAny(happened.bytes);
        const looks = Buffer.from(happened.bytes).toString("latin1", 0x202, 0x206) === "HdrS";
        if (launchable(happened)) must(looks || whole(reading), "no kernel, and it goes to the driver");
      },
    },
    "launch, a ramdisk": {
      ...{ seeds: RAMDISKS, weight: 40 },
      words: (file) => ["-kernel", good("bzImage"), "-initrd", file, "-m", "96M"],
      check: (happened) =>
        must(
          launchable(happened) === happened.bytes.length > 0,
          "a ramdisk is refused, or an empty one taken",
        ),
    },
  };
}

/** The same with real images, which take a hundred times as long. */
export const REAL_TARGETS: Readonly<Record<string, Target>> = Object.fromEntries(
  ["describe", "extract", "sign, an image", "launch, an image", "build, a kernel for arm64"].flatMap(
    (name) => {
      const target = TARGETS[name];
      const seeds = name.startsWith("build") ? REAL_ARM64 : REAL_IMAGES;
      return target === undefined ? [] : [[`${name}, a real one`, { ...target, seeds, weight: 1 }]];
    },
  ),
);
