/**
 * What an image measures: PCRs as the hypervisor takes them, SHA-384 extended once. PCR0 is of kernel, command line and
 * all ramdisks in file order; PCR1 of the same up to the first ramdisk; PCR2 of the other ramdisks. Payloads only.
 * Source: the specification in aws/aws-nitro-enclaves-image-format (README.md, "EIF Measurements").
 */
import type { SectionName } from "./layout.ts";

/** The PCRs that the image's content decides, 48 bytes each. */
export interface Measurement {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
}

/** A measurement that is fed the sections in file order, each in pieces of any size. */
export interface RunningMeasurement {
  /** A section begins: what is added from here on is its payload. Those that are not measured are stepped over. */
  begin(name: SectionName): void;
  add(piece: Uint8Array): void;
  /** The PCRs of what came so far. */
  values(): Measurement;
}

/** Bytes of a PCR. */
export const PCR_BYTES = 48;

const ALGORITHM = "sha384";

function hash(): Bun.CryptoHasher {
  return new Bun.CryptoHasher(ALGORITHM);
}

/**
 * Begins before the first section. Kernel, command line and first ramdisk are hashed once, for PCR0 and PCR1 together:
 * where a second ramdisk begins, PCR1 goes on with a copy. From there on each byte is hashed twice.
 */
export function measurement(): RunningMeasurement {
  const image = hash();
  const application = hash();
  let bootstrap: Bun.CryptoHasher | undefined;
  let ramdisks = 0;
  let current: readonly Bun.CryptoHasher[] = [];
  return {
    begin(name) {
      if (name === "signature" || name === "metadata") {
        current = [];
        return;
      }
      if (name === "ramdisk") ramdisks += 1;
      if (ramdisks > 1) bootstrap ??= image.copy();
      if (bootstrap === undefined) current = [image];
      else current = [image, name === "ramdisk" ? application : bootstrap];
    },
    add(piece) {
      for (const hasher of current) hasher.update(piece);
    },
    values: () => ({
      pcr0: extended(image.copy().digest()),
      pcr1: extended((bootstrap ?? image).copy().digest()),
      pcr2: extended(application.copy().digest()),
    }),
  };
}

/** PCR8: that of the signing certificate, in DER. */
export function pcrOfCertificate(der: Uint8Array): Uint8Array {
  return extended(hash().update(der).digest());
}

/** PCR3 of the instance's IAM role (its ARN), or PCR4 of its id: the text is extended as it is, not hashed first. */
export function pcrOfText(text: string): Uint8Array {
  return extended(new TextEncoder().encode(text));
}

/** A PCR as people write it: 96 hexadecimal digits. */
export function pcrHex(pcr: Uint8Array): string {
  return pcr.toHex();
}

/** A register of zeros, extended by `value`. */
function extended(value: Uint8Array): Uint8Array {
  return new Uint8Array(hash().update(new Uint8Array(PCR_BYTES)).update(value).digest());
}
