/** Small images to launch, which cannot boot, and the tests' own EIF writer. */
import { createHash } from "node:crypto";

const EIF_HEADER_BYTES = 548;
const CRC_AT = 544;
const SECTION_TYPES = { kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 } as const;

/** A section of an image. */
export interface EifPart {
  readonly type: keyof typeof SECTION_TYPES;
  readonly bytes: Uint8Array;
}

/** `length` bytes of which byte i is (factor × i + first) mod 256. */
function pattern(length: number, factor: number, first: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (factor * i + first) & 0xff);
}

/** Bytes that look like a bzImage (Documentation/arch/x86/boot.rst): boot flag, "HdrS", protocol 2.15. */
export function fakeKernel(length = 1_000_003): Uint8Array {
  const bytes = pattern(length, 7, 3);
  bytes.set([0x55, 0xaa], 0x1fe);
  bytes.set(new TextEncoder().encode("HdrS"), 0x202);
  bytes.set([0x0f, 0x02], 0x206);
  return bytes;
}

export function fakeInitrd(length = 65_537): Uint8Array {
  return pattern(length, 13, 5);
}

/** Returns an EIF with these sections, without gaps; big-endian throughout. */
export function eifOf(parts: readonly EifPart[], flags = 0): Uint8Array {
  const total = parts.reduce((sum, part) => sum + 12 + part.bytes.length, EIF_HEADER_BYTES);
  const image = new Uint8Array(total);
  const view = new DataView(image.buffer);
  image.set(new TextEncoder().encode(".eif"));
  view.setUint16(4, 4);
  view.setUint16(6, flags);
  view.setUint16(26, parts.length);
  let at = EIF_HEADER_BYTES;
  parts.forEach(({ type, bytes }, i) => {
    view.setBigUint64(28 + 8 * i, BigInt(at));
    view.setBigUint64(284 + 8 * i, BigInt(bytes.length));
    view.setUint16(at, SECTION_TYPES[type]);
    view.setBigUint64(at + 4, BigInt(bytes.length));
    image.set(bytes, at + 12);
    at += 12 + bytes.length;
  });
  const head = Bun.hash.crc32(image.subarray(0, CRC_AT));
  view.setUint32(CRC_AT, Bun.hash.crc32(image.subarray(EIF_HEADER_BYTES), head));
  return image;
}

/** The EIF that a launch assembles from a kernel, a ramdisk and a command line. */
export function assembledEif(kernel: Uint8Array, initrd: Uint8Array, commandLine: string): Uint8Array {
  const text = new TextEncoder();
  return eifOf([
    { type: "kernel", bytes: kernel },
    { type: "cmdline", bytes: text.encode(commandLine) },
    { type: "ramdisk", bytes: initrd },
    { type: "metadata", bytes: text.encode("{}") },
  ]);
}

/** The CRC in an EIF's header, as eight hexadecimal digits. */
export function crcOf(eif: Uint8Array): string {
  return new DataView(eif.buffer, eif.byteOffset).getUint32(CRC_AT).toString(16).padStart(8, "0");
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Returns the image with its last four bytes chosen so that it has the given CRC. A CRC is linear: each bit of these
 * bytes flips certain bits of it, and Gaussian elimination finds those that flip the difference. @param crc eight
 * hexadecimal digits.
 */
export function withCrc(eif: Uint8Array, crc: string): Uint8Array {
  const forged = eif.slice();
  const view = new DataView(forged.buffer);
  const wanted = Number.parseInt(crc, 16);
  view.setUint32(CRC_AT, wanted);
  const last = forged.length - 4;
  const before = Bun.hash.crc32(
    forged.subarray(EIF_HEADER_BYTES, last),
    Bun.hash.crc32(forged.subarray(0, CRC_AT)),
  );
  const crcWith = (bits: number) => {
    view.setUint32(last, bits);
    return Bun.hash.crc32(forged.subarray(last), before);
  };
  const none = crcWith(0);
  /** By the highest bit that it flips: what a set of bits flips, and the set. */
  const rows = new Map<number, { flips: number; bits: number }>();
  const reduced = (flips: number, bits: number) => {
    let row = { flips, bits };
    for (let by = rows.get(Math.clz32(row.flips)); by !== undefined; by = rows.get(Math.clz32(row.flips))) {
      row = { flips: (row.flips ^ by.flips) >>> 0, bits: (row.bits ^ by.bits) >>> 0 };
    }
    return row;
  };
  for (let i = 0; i < 32; i++) {
    const row = reduced((crcWith((1 << i) >>> 0) ^ none) >>> 0, (1 << i) >>> 0);
    rows.set(Math.clz32(row.flips), row);
  }
  if (crcWith(reduced((wanted ^ none) >>> 0, 0).bits) !== wanted)
    throw new Error("no bytes result in this CRC");
  return forged;
}
