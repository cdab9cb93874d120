/**
 * PCRs as the hypervisor computes them: SHA-384, extended once. PCR0 covers kernel, command line and all ramdisks in
 * file order; PCR1 the same up to the first ramdisk; PCR2 the other ramdisks. Only payloads are hashed. Source: the
 * specification in aws/aws-nitro-enclaves-image-format (README.md, "EIF Measurements").
 */
import type { SectionName } from "./layout.ts";

/** The PCRs that an image's content determines, 48 bytes each. */
export interface Pcrs {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
}

/** A measurement of sections that are added in file order, each in chunks of any size. */
export interface Measurement {
  /** Starts a section: the chunks that follow are its payload. Signature and metadata are not measured. */
  startSection(name: SectionName): void;
  add(chunk: Uint8Array): void;
  /** Returns the PCRs of the sections so far. */
  pcrs(): Pcrs;
}

/** The size of a PCR. */
export const PCR_BYTES = 48;

function sha384(): Bun.CryptoHasher {
  return new Bun.CryptoHasher("sha384");
}

/**
 * Starts a measurement. Kernel, command line and first ramdisk are hashed once for PCR0 and PCR1 together; at the
 * second ramdisk PCR1 continues with a copy of the hash, and each further byte is hashed twice.
 */
export function startMeasurement(): Measurement {
  const image = sha384();
  const application = sha384();
  let bootstrap: Bun.CryptoHasher | undefined;
  let ramdisks = 0;
  let current: readonly Bun.CryptoHasher[] = [];
  return {
    startSection(name) {
      if (name === "signature" || name === "metadata") {
        current = [];
        return;
      }
      if (name === "ramdisk") ramdisks += 1;
      if (ramdisks > 1) bootstrap ??= image.copy();
      if (bootstrap === undefined) current = [image];
      else current = [image, name === "ramdisk" ? application : bootstrap];
    },
    add(chunk) {
      for (const hasher of current) hasher.update(chunk);
    },
    pcrs: () => ({
      pcr0: extended(image.copy().digest()),
      pcr1: extended((bootstrap ?? image).copy().digest()),
      pcr2: extended(application.copy().digest()),
    }),
  };
}

/** Measures sections. @param forEachChunk passes the payload of one section to `use`, in order. */
export function measureSections<S extends { readonly name: SectionName }>(
  sections: readonly S[],
  forEachChunk: (section: S, use: (chunk: Uint8Array) => void) => void,
): Pcrs {
  const measurement = startMeasurement();
  for (const section of sections) {
    measurement.startSection(section.name);
    forEachChunk(section, measurement.add);
  }
  return measurement.pcrs();
}

/** Returns PCR8, which covers the signing certificate in DER. */
export function pcrOfCertificate(der: Uint8Array): Uint8Array {
  return extended(sha384().update(der).digest());
}

/**
 * Returns PCR3 for the instance's IAM role (its ARN), or PCR4 for its id: the text itself is extended, not its hash.
 */
export function pcrOfText(text: string): Uint8Array {
  return extended(new TextEncoder().encode(text));
}

/** Formats a PCR: 96 hexadecimal digits. */
export function pcrHex(pcr: Uint8Array): string {
  return pcr.toHex();
}

/** Extends a register of zeros by `value`. */
function extended(value: Uint8Array): Uint8Array {
  return new Uint8Array(sha384().update(new Uint8Array(PCR_BYTES)).update(value).digest());
}
