import { describe, expect, test } from "bun:test";
import {
  checkCrc,
  EifError,
  hex32,
  type ImageBytes,
  isEif,
  readEif,
} from "../../../src/eif/format/reader.ts";
import { crc32Of, type EifSpec, type SectionSpec, section, smallSections, writeEif } from "./eif-writer.ts";

/** A file in memory. */
function file(bytes: Uint8Array): ImageBytes {
  return {
    size: bytes.length,
    read(into, offset) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}

function check(bytes: Uint8Array): ReturnType<typeof readEif> {
  const eif = readEif(file(bytes));
  checkCrc(file(bytes), eif.crc);
  return eif;
}

function spec(over: Partial<EifSpec> = {}): EifSpec {
  return { sections: smallSections(), ...over };
}

const [KERNEL, CMDLINE, RAMDISK, METADATA] = smallSections() as [
  SectionSpec,
  SectionSpec,
  SectionSpec,
  SectionSpec,
];
const SIGNATURE = section("signature", "signed");

describe("good images", () => {
  test.each([
    ["version 4", spec()],
    ["version 3 without metadata", { version: 3, sections: [KERNEL, CMDLINE, RAMDISK] }],
    ["version 3 with a signature", { version: 3, sections: [KERNEL, CMDLINE, RAMDISK, SIGNATURE] }],
    ["version 2", { version: 2, sections: [KERNEL, CMDLINE, RAMDISK] }],
    ["two sections, the least", { version: 3, sections: [KERNEL, CMDLINE] }],
    ["cmdline first", spec({ sections: [CMDLINE, KERNEL, RAMDISK, METADATA] })],
    ["AWS's order", spec({ sections: [KERNEL, CMDLINE, METADATA, RAMDISK, RAMDISK, SIGNATURE] })],
    [
      "empty payloads",
      spec({ sections: [KERNEL, section("cmdline", ""), section("ramdisk", ""), METADATA] }),
    ],
    ["gaps", spec({ sections: [KERNEL, { ...CMDLINE, gap: 100 }, { ...RAMDISK, gap: 1 }, METADATA] })],
    ["bytes after the last section", spec({ trailer: 33 })],
    ["32 sections, the most", spec({ sections: [KERNEL, CMDLINE, METADATA, ...Array(29).fill(RAMDISK)] })],
    ["flags 0x40", spec({ flags: 0x40 })],
    ["flags 0x200", spec({ flags: 0x200 })],
    [
      "a signature with another size in the header",
      spec({ sections: [...smallSections(), { ...SIGNATURE, headerSize: 3n }] }),
    ],
    [
      "a signature with size 0 in the header",
      spec({ sections: [...smallSections(), { ...SIGNATURE, headerSize: 0n }] }),
    ],
    [
      "metadata of the greatest size",
      spec({ sections: [KERNEL, CMDLINE, RAMDISK, section("metadata", " ".repeat(1024 * 1024))] }),
    ],
    [
      "a signature of the greatest size",
      spec({ sections: [...smallSections(), section("signature", "s".repeat(32768))] }),
    ],
  ] as [string, EifSpec][])("%s", (_name, good) => {
    const eif = check(writeEif(good));
    expect(eif.version).toBe(good.version ?? 4);
    expect(eif.architecture).toBe("x86_64");
    expect(eif.sections.map(({ size }) => size)).toEqual(good.sections.map(({ payload }) => payload.length));
  });

  test("bit 0 of the flags is aarch64, with others beside it too", () => {
    expect(check(writeEif(spec({ flags: 1 }))).architecture).toBe("aarch64");
    expect(check(writeEif(spec({ flags: 0x41 }))).architecture).toBe("aarch64");
  });

  test("the payloads are told by name, offset and size", () => {
    expect(check(writeEif(spec())).sections).toEqual([
      { name: "kernel", offset: 560, size: 6 },
      { name: "cmdline", offset: 578, size: 5 },
      { name: "ramdisk", offset: 595, size: 7 },
      { name: "metadata", offset: 614, size: 2 },
    ]);
  });

  test("the magic alone tells an EIF", () => {
    expect(isEif(new TextEncoder().encode(".eif"))).toBe(true);
    expect(isEif(new TextEncoder().encode(".ei"))).toBe(false);
    expect(isEif(new TextEncoder().encode("MZ.eif"))).toBe(false);
    expect(isEif(new TextEncoder().encode("xx.eif").subarray(2))).toBe(true);
  });
});

const BIG = 2n ** 64n - 1n;

/** A change of the good image, and the message that tells where it stands. */
const BAD: readonly (readonly [name: string, spec: EifSpec, message: string])[] = [
  ["another magic", spec({ magic: ".EIF" }), "it does not begin with .eif"],
  ["version 1", spec({ version: 1 }), "version 1 at byte 4; versions 2 to 4 are known"],
  ["version 5", spec({ version: 5 }), "version 5 at byte 4; versions 2 to 4 are known"],
  ["no section", spec({ count: 0 }), "0 sections at byte 26; an image has 2 to 32"],
  ["one section", spec({ count: 1 }), "1 sections at byte 26; an image has 2 to 32"],
  ["33 sections", spec({ count: 33 }), "33 sections at byte 26; an image has 2 to 32"],
  ["65535 sections", spec({ count: 65535 }), "65535 sections at byte 26; an image has 2 to 32"],
  [
    "more sections than there are",
    spec({ count: 5 }),
    "section 4 begins at byte 0 (so the header at byte 60), before byte 616, where what precedes it ends",
  ],
  [
    "a section in the header",
    spec({ sections: [{ ...KERNEL, headerOffset: 500n }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 begins at byte 500 (so the header at byte 28), before byte 548, where what precedes it ends",
  ],
  [
    "overlapping sections",
    spec({ sections: [KERNEL, { ...CMDLINE, headerOffset: 565n }, RAMDISK, METADATA] }),
    "section 1 begins at byte 565 (so the header at byte 36), before byte 566, where what precedes it ends",
  ],
  [
    "offsets that fall",
    spec({
      sections: [
        { ...KERNEL, headerOffset: 566n, headerSize: 5n },
        { ...CMDLINE, headerOffset: 548n },
        RAMDISK,
        METADATA,
      ],
    }),
    "section 1 begins at byte 548 (so the header at byte 36), before byte 583, where what precedes it ends",
  ],
  [
    "an offset beyond the file",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 5000n }] }),
    "section 3 begins at byte 5000 (so the header at byte 52), the file has 616 bytes",
  ],
  [
    "an offset that leaves no room for the section's header",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 605n }] }),
    "section 3 begins at byte 605 (so the header at byte 52), the file has 616 bytes",
  ],
  [
    "an offset near 2^64",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: BIG }] }),
    `section 3 begins at byte ${BIG} (so the header at byte 52), the file has 616 bytes`,
  ],
  [
    "an unknown type",
    spec({ sections: [KERNEL, CMDLINE, { ...RAMDISK, type: 6 }, METADATA] }),
    "section 2 at byte 583 has the unknown type 6",
  ],
  [
    "type 0",
    spec({ sections: [{ ...KERNEL, type: 0 }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 at byte 548 has the unknown type 0",
  ],
  [
    "sizes that disagree",
    spec({ sections: [KERNEL, { ...CMDLINE, headerSize: 6n }, RAMDISK, METADATA] }),
    "section 1 (cmdline, type 2) at byte 566 says 5 bytes, the header says 6",
  ],
  [
    "a size beyond the file",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerSize: 3n, ownSize: 3n }] }),
    "section 3 (metadata, type 5) has 3 bytes from byte 614, the file has 616 bytes",
  ],
  [
    "a size near 2^64",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerSize: BIG, ownSize: BIG }] }),
    `section 3 (metadata, type 5) has ${BIG} bytes from byte 614, the file has 616 bytes`,
  ],
  [
    "a signature longer than the file",
    spec({ sections: [...smallSections(), { ...SIGNATURE, ownSize: 7n }] }),
    "section 4 (signature, type 4) has 7 bytes from byte 628, the file has 634 bytes",
  ],
  [
    "no kernel",
    spec({ sections: [CMDLINE, METADATA] }),
    "it has no kernel (type 1) among its 2 sections, as an image of version 4 must",
  ],
  [
    "two kernels",
    spec({ sections: [KERNEL, KERNEL, CMDLINE, METADATA] }),
    "section 1 (kernel, type 1) at byte 566 is a second one; an image has one kernel",
  ],
  [
    "no cmdline",
    spec({ sections: [KERNEL, METADATA] }),
    "it has no cmdline (type 2) among its 2 sections, as an image of version 4 must",
  ],
  [
    "two cmdlines",
    spec({ sections: [KERNEL, CMDLINE, CMDLINE, METADATA] }),
    "section 2 (cmdline, type 2) at byte 583 is a second one; an image has one cmdline",
  ],
  [
    "a ramdisk before the kernel",
    spec({ sections: [RAMDISK, KERNEL, CMDLINE, METADATA] }),
    "section 0 (ramdisk, type 3) at byte 548 stands before the kernel, which is section 1 (kernel, type 1) at byte 567",
  ],
  [
    "two signatures",
    spec({ sections: [...smallSections(), SIGNATURE, SIGNATURE] }),
    "section 5 (signature, type 4) at byte 634 is a second one; an image has one signature",
  ],
  [
    "a signature in version 2",
    { version: 2, sections: [KERNEL, CMDLINE, RAMDISK, SIGNATURE] },
    "section 3 (signature, type 4) at byte 602 is what version 2 does not know",
  ],
  [
    "a signature that is too long",
    spec({ sections: [...smallSections(), section("signature", "s".repeat(32769))] }),
    "section 4 (signature, type 4) at byte 616 has 32769 bytes, at most 32768 are allowed",
  ],
  [
    "metadata that is too long",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, section("metadata", " ".repeat(1024 * 1024 + 1))] }),
    "section 3 (metadata, type 5) at byte 602 has 1048577 bytes, at most 1048576 are allowed",
  ],
  [
    "a ramdisk before the kernel in AWS's order",
    spec({ sections: [CMDLINE, METADATA, RAMDISK, KERNEL] }),
    "section 2 (ramdisk, type 3) at byte 579 stands before the kernel, which is section 3 (kernel, type 1) at byte 598",
  ],
  [
    "metadata in version 2",
    spec({ version: 2 }),
    "section 3 (metadata, type 5) at byte 602 is what version 2 does not know",
  ],
  ["version 0", spec({ version: 0 }), "version 0 at byte 4; versions 2 to 4 are known"],
  [
    "a section that begins in the header of the one before",
    spec({ sections: [KERNEL, { ...CMDLINE, headerOffset: 559n }, RAMDISK, METADATA] }),
    "section 1 begins at byte 559 (so the header at byte 36), before byte 566, where what precedes it ends",
  ],
  [
    "the same section twice",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 583n, headerSize: 7n }] }),
    "section 3 begins at byte 583 (so the header at byte 52), before byte 602, where what precedes it ends",
  ],
  [
    "a signature whose own size is near 2^64",
    spec({ sections: [...smallSections(), { ...SIGNATURE, ownSize: BIG }] }),
    `section 4 (signature, type 4) has ${BIG} bytes from byte 628, the file has 634 bytes`,
  ],
  [
    "a kernel that ends where the file ends",
    spec({ sections: [{ ...KERNEL, headerSize: 56n, ownSize: 56n }, CMDLINE, RAMDISK, METADATA] }),
    "section 1 begins at byte 566 (so the header at byte 36), before byte 616, where what precedes it ends",
  ],
  [
    "a kernel that ends one byte later",
    spec({ sections: [{ ...KERNEL, headerSize: 57n, ownSize: 57n }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 (kernel, type 1) has 57 bytes from byte 560, the file has 616 bytes",
  ],
  [
    "version 4 without metadata",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK] }),
    "it has no metadata (type 5) among its 3 sections, as an image of version 4 must",
  ],
  [
    "two metadata sections",
    spec({ sections: [...smallSections(), METADATA] }),
    "section 4 (metadata, type 5) at byte 616 is a second one; an image has one metadata",
  ],
  [
    "metadata in version 3",
    spec({ version: 3 }),
    "section 3 (metadata, type 5) at byte 602 is what version 3 does not know",
  ],
];

describe("every rule, broken once", () => {
  test.each(BAD)("%s", (_name, bad, message) => {
    expect(() => readEif(file(writeEif(bad)))).toThrow(new EifError(message));
  });

  test("a wrong CRC is told in both values", () => {
    const good = writeEif(spec());
    const right = new DataView(good.buffer).getUint32(544);
    const bytes = writeEif(spec({ crc: 0x12345678 }));
    expect(() => check(bytes)).toThrow(
      new EifError(
        `its CRC-32 is ${hex32(right)}, the header says 0x12345678 at byte 544; the file is damaged`,
      ),
    );
  });

  test("any byte that changes is noticed", () => {
    const good = writeEif(spec());
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x10;
      expect(() => check(bad)).toThrow(EifError);
    }
  });

  test("a file that is cut anywhere is an EifError, never anything else", () => {
    const good = writeEif(spec({ sections: [...smallSections(), SIGNATURE] }));
    for (let length = 0; length < good.length; length += 7) {
      expect(() => check(good.subarray(0, length))).toThrow(EifError);
    }
  });

  test("a cut header tells what is missing", () => {
    expect(() => readEif(file(writeEif(spec()).subarray(0, 547)))).toThrow(
      new EifError("the header needs 548 bytes from byte 0, the file has 547 bytes"),
    );
  });

  test("a file that becomes shorter while its CRC is taken does not loop", () => {
    const shrinking: ImageBytes = { size: 1000, read: (_into, offset) => (offset === 0 ? 600 : 0) };
    expect(() => checkCrc(shrinking, 0)).toThrow(
      new EifError("the file ended at byte 600; it had 1000 bytes before"),
    );
  });

  test("random headers never crash the reader", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed >>> 8;
    };
    const good = writeEif(spec());
    for (let round = 0; round < 2000; round++) {
      const bytes = good.slice();
      for (let i = 0; i < 4; i++) bytes[4 + (random() % 612)] = random();
      try {
        readEif(file(bytes));
      } catch (error) {
        expect(error).toBeInstanceOf(EifError);
      }
    }
  });
});

test("the CRC check can be stopped between pieces", () => {
  const pieces: number[] = [];
  const bytes = new Uint8Array(3 * 1024 * 1024 + 5);
  const between = () => {
    pieces.push(1);
    if (pieces.length === 2) throw new Error("stopped");
  };
  expect(() => checkCrc(file(bytes), 0, between)).toThrow("stopped");
});

test("the tests' own CRC is the standard's", () => {
  expect(crc32Of(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
});

test("eight hexadecimal digits", () => {
  expect([hex32(0), hex32(0xffffffff), hex32(0xabc)]).toEqual(["0x00000000", "0xffffffff", "0x00000abc"]);
});
