/** Images to launch, small ones that nothing boots, and an EIF writer of the tests' own. */
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

/** A bzImage by its looks (Documentation/arch/x86/boot.rst): boot flag, "HdrS", protocol 2.15. */
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

/** An EIF with these sections, one after another; big-endian throughout. */
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

/** The CRC that an EIF's header holds, as eight hexadecimal digits. */
export function crcOf(eif: Uint8Array): string {
  return new DataView(eif.buffer, eif.byteOffset).getUint32(CRC_AT).toString(16).padStart(8, "0");
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * The same image with its last four bytes chosen so that its CRC is another's. A CRC is linear: each bit of these bytes
 * turns certain bits of it, and bits are taken until the difference is gone (Gauss's elimination).
 * @param crc eight hexadecimal digits.
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
  /** By the highest bit that it turns: what a set of bits turns, and the set. */
  const rows = new Map<number, { turns: number; bits: number }>();
  const reduced = (turns: number, bits: number) => {
    let row = { turns, bits };
    for (let by = rows.get(Math.clz32(row.turns)); by !== undefined; by = rows.get(Math.clz32(row.turns))) {
      row = { turns: (row.turns ^ by.turns) >>> 0, bits: (row.bits ^ by.bits) >>> 0 };
    }
    return row;
  };
  for (let i = 0; i < 32; i++) {
    const row = reduced((crcWith((1 << i) >>> 0) ^ none) >>> 0, (1 << i) >>> 0);
    rows.set(Math.clz32(row.turns), row);
  }
  if (crcWith(reduced((wanted ^ none) >>> 0, 0).bits) !== wanted)
    throw new Error("the CRC could not be made");
  return forged;
}
