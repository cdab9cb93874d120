/**
 * The tests' own EIF writer, written from the format's specification: it shares no code with nitro, so that a mistake
 * in one is found by the other. Every field can be given a wrong value.
 */
export const TYPE = { kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 } as const;

export interface SectionSpec {
  readonly type: number;
  readonly payload: Uint8Array;
  /** The number of bytes between the preceding data and this section. */
  readonly gap?: number;
  /** The size in the section's own header, if not the payload's. */
  readonly ownSize?: bigint;
  /** The size in the file's header, if not the payload's. */
  readonly headerSize?: bigint;
  /** The offset in the file's header, if not the section's. */
  readonly headerOffset?: bigint;
}

export interface EifSpec {
  readonly magic?: string;
  readonly version?: number;
  readonly flags?: number;
  readonly count?: number;
  readonly sections: readonly SectionSpec[];
  /** The number of bytes after the last section. */
  readonly trailer?: number;
  readonly crc?: number;
}

const HEADER = 548;
const CRC_AT = 544;

/** CRC-32 (IEEE 802.3), bit by bit as defined by the standard. */
export function crc32Of(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** Returns the file. */
export function writeEif(spec: EifSpec): Uint8Array {
  const total = spec.sections.reduce(
    (sum, section) => sum + (section.gap ?? 0) + 12 + section.payload.length,
    HEADER + (spec.trailer ?? 0),
  );
  const file = Buffer.alloc(total, 0xee);
  file.fill(0, 0, HEADER);
  file.write(spec.magic ?? ".eif", 0, "latin1");
  file.writeUInt16BE(spec.version ?? 4, 4);
  file.writeUInt16BE(spec.flags ?? 0, 6);
  file.writeUInt16BE(spec.count ?? spec.sections.length, 26);
  let at = HEADER;
  spec.sections.forEach((section, i) => {
    at += section.gap ?? 0;
    const size = BigInt(section.payload.length);
    if (i < 32) {
      file.writeBigUInt64BE(section.headerOffset ?? BigInt(at), 28 + 8 * i);
      file.writeBigUInt64BE(section.headerSize ?? size, 284 + 8 * i);
    }
    file.writeUInt16BE(section.type, at);
    file.writeUInt16BE(0, at + 2);
    file.writeBigUInt64BE(section.ownSize ?? size, at + 4);
    file.set(section.payload, at + 12);
    at += 12 + section.payload.length;
  });
  const covered = Buffer.concat([file.subarray(0, CRC_AT), file.subarray(CRC_AT + 4)]);
  file.writeUInt32BE(spec.crc ?? crc32Of(covered), CRC_AT);
  return new Uint8Array(file);
}

/** Returns a section with a text as its payload. */
export function section(name: keyof typeof TYPE, text: string, over: Partial<SectionSpec> = {}): SectionSpec {
  return { type: TYPE[name], payload: new TextEncoder().encode(text), ...over };
}

/** The sections of a small valid image of version 4: 548 + 12+6, 12+5, 12+7, 12+2 bytes. */
export function smallSections(): SectionSpec[] {
  return [
    section("kernel", "kernel"),
    section("cmdline", "quiet"),
    section("ramdisk", "ramdisk"),
    section("metadata", "{}"),
  ];
}
