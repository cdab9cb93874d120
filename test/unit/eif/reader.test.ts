import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crcMismatch, crcText, startCrc } from "../../../src/eif/format/crc.ts";
import { EifError, isEif, readEif, readPayload, sectionText } from "../../../src/eif/format/reader.ts";
import { sourceOf } from "./bytes.ts";
import { crc32Of, type EifSpec, type SectionSpec, section, smallSections, writeEif } from "./eif-writer.ts";

/** Reads the headers and checks the CRC. */
function check(bytes: Uint8Array): ReturnType<typeof readEif> {
  const header = readEif(sourceOf(bytes));
  const crc = startCrc();
  crc.add(bytes);
  if (crc.value() !== header.crc) throw new EifError(crcMismatch(crc.value(), header.crc));
  return header;
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

describe("an image that the specification allows is accepted", () => {
  test.each([
    ["version 4", spec()],
    ["version 3 without metadata", { version: 3, sections: [KERNEL, CMDLINE, RAMDISK] }],
    ["version 3 with a signature", { version: 3, sections: [KERNEL, CMDLINE, RAMDISK, SIGNATURE] }],
    ["version 2", { version: 2, sections: [KERNEL, CMDLINE, RAMDISK] }],
    ["two sections, the minimum", { version: 3, sections: [KERNEL, CMDLINE] }],
    ["cmdline first", spec({ sections: [CMDLINE, KERNEL, RAMDISK, METADATA] })],
    ["AWS's order", spec({ sections: [KERNEL, CMDLINE, METADATA, RAMDISK, RAMDISK, SIGNATURE] })],
    [
      "empty payloads",
      spec({ sections: [KERNEL, section("cmdline", ""), section("ramdisk", ""), METADATA] }),
    ],
    ["gaps", spec({ sections: [KERNEL, { ...CMDLINE, gap: 100 }, { ...RAMDISK, gap: 1 }, METADATA] })],
    ["bytes after the last section", spec({ trailer: 33 })],
    ["32 sections, the maximum", spec({ sections: [KERNEL, CMDLINE, METADATA, ...Array(29).fill(RAMDISK)] })],
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
      "metadata of the maximum size",
      spec({ sections: [KERNEL, CMDLINE, RAMDISK, section("metadata", " ".repeat(1024 * 1024))] }),
    ],
    [
      "a signature of the maximum size",
      spec({ sections: [...smallSections(), section("signature", "s".repeat(32768))] }),
    ],
  ] as [string, EifSpec][])("%s", (_name, good) => {
    const eif = check(writeEif(good));
    expect(eif.version).toBe(good.version ?? 4);
    expect(eif.architecture).toBe("x86_64");
    expect(eif.sections.map(({ size }) => size)).toEqual(good.sections.map(({ payload }) => payload.length));
  });

  test("flags: bit 0 means aarch64, whatever the other bits", () => {
    expect(check(writeEif(spec({ flags: 1 }))).architecture).toBe("aarch64");
    expect(check(writeEif(spec({ flags: 0x41 }))).architecture).toBe("aarch64");
  });

  test("sections: are listed with name, offset and size", () => {
    expect(check(writeEif(spec())).sections).toEqual([
      { name: "kernel", offset: 560, size: 6 },
      { name: "cmdline", offset: 578, size: 5 },
      { name: "ramdisk", offset: 595, size: 7 },
      { name: "metadata", offset: 614, size: 2 },
    ]);
  });

  test("magic number: identifies an EIF", () => {
    expect(isEif(new TextEncoder().encode(".eif"))).toBe(true);
    expect(isEif(new TextEncoder().encode(".ei"))).toBe(false);
    expect(isEif(new TextEncoder().encode("MZ.eif"))).toBe(false);
    expect(isEif(new TextEncoder().encode("xx.eif").subarray(2))).toBe(true);
  });
});

const BIG = 2n ** 64n - 1n;

/** A change of a valid image, and the message about it. */
const BAD: readonly (readonly [name: string, spec: EifSpec, message: string])[] = [
  ["another magic", spec({ magic: ".EIF" }), "the file does not start with the magic number .eif"],
  ["version 1", spec({ version: 1 }), "version 1 (byte 4) is not supported; supported are 2 to 4"],
  ["version 5", spec({ version: 5 }), "version 5 (byte 4) is not supported; supported are 2 to 4"],
  ["no section", spec({ count: 0 }), "the header lists 0 sections (byte 26); an EIF has 2 to 32"],
  ["one section", spec({ count: 1 }), "the header lists 1 sections (byte 26); an EIF has 2 to 32"],
  ["33 sections", spec({ count: 33 }), "the header lists 33 sections (byte 26); an EIF has 2 to 32"],
  ["65535 sections", spec({ count: 65535 }), "the header lists 65535 sections (byte 26); an EIF has 2 to 32"],
  [
    "a count larger than the number of sections",
    spec({ count: 5 }),
    "section 4 starts at byte 0 (field at byte 60), but the data before it ends at byte 616",
  ],
  [
    "a section in the header",
    spec({ sections: [{ ...KERNEL, headerOffset: 500n }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 starts at byte 500 (field at byte 28), but the data before it ends at byte 548",
  ],
  [
    "overlapping sections",
    spec({ sections: [KERNEL, { ...CMDLINE, headerOffset: 565n }, RAMDISK, METADATA] }),
    "section 1 starts at byte 565 (field at byte 36), but the data before it ends at byte 566",
  ],
  [
    "descending offsets",
    spec({
      sections: [
        { ...KERNEL, headerOffset: 566n, headerSize: 5n },
        { ...CMDLINE, headerOffset: 548n },
        RAMDISK,
        METADATA,
      ],
    }),
    "section 1 starts at byte 548 (field at byte 36), but the data before it ends at byte 583",
  ],
  [
    "an offset past the end of the file",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 5000n }] }),
    "section 3 starts at byte 5000 (field at byte 52), but the file has 616 bytes",
  ],
  [
    "an offset too close to the end for the section's header",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 605n }] }),
    "section 3 starts at byte 605 (field at byte 52), but the file has 616 bytes",
  ],
  [
    "an offset near 2^64",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: BIG }] }),
    `section 3 starts at byte ${BIG} (field at byte 52), but the file has 616 bytes`,
  ],
  [
    "an unknown type",
    spec({ sections: [KERNEL, CMDLINE, { ...RAMDISK, type: 6 }, METADATA] }),
    "section 2 at byte 583 has unknown type 6",
  ],
  [
    "type 0",
    spec({ sections: [{ ...KERNEL, type: 0 }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 at byte 548 has unknown type 0",
  ],
  [
    "two sizes that differ",
    spec({ sections: [KERNEL, { ...CMDLINE, headerSize: 6n }, RAMDISK, METADATA] }),
    "section 1 (cmdline, type 2) at byte 566 has 5 bytes by its own header, 6 by the file header",
  ],
  [
    "a size past the end of the file",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerSize: 3n, ownSize: 3n }] }),
    "section 3 (metadata, type 5) at byte 602: its 3 bytes from byte 614 extend past the end of the file (616 bytes)",
  ],
  [
    "a size near 2^64",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerSize: BIG, ownSize: BIG }] }),
    `section 3 (metadata, type 5) at byte 602: its ${BIG} bytes from byte 614 extend past the end of the file (616 bytes)`,
  ],
  [
    "a signature longer than the file",
    spec({ sections: [...smallSections(), { ...SIGNATURE, ownSize: 7n }] }),
    "section 4 (signature, type 4) at byte 616: its 7 bytes from byte 628 extend past the end of the file (634 bytes)",
  ],
  [
    "no kernel",
    spec({ sections: [CMDLINE, METADATA] }),
    "none of the 2 sections is a kernel (type 1); an EIF of version 4 must have one",
  ],
  [
    "two kernels",
    spec({ sections: [KERNEL, KERNEL, CMDLINE, METADATA] }),
    "section 1 (kernel, type 1) at byte 566 is a second kernel section; an EIF has at most one",
  ],
  [
    "no cmdline",
    spec({ sections: [KERNEL, METADATA] }),
    "none of the 2 sections is a cmdline (type 2); an EIF of version 4 must have one",
  ],
  [
    "two cmdlines",
    spec({ sections: [KERNEL, CMDLINE, CMDLINE, METADATA] }),
    "section 2 (cmdline, type 2) at byte 583 is a second cmdline section; an EIF has at most one",
  ],
  [
    "a ramdisk before the kernel",
    spec({ sections: [RAMDISK, KERNEL, CMDLINE, METADATA] }),
    "section 0 (ramdisk, type 3) at byte 548 precedes the kernel, which is section 1 (kernel, type 1) at byte 567",
  ],
  [
    "two signatures",
    spec({ sections: [...smallSections(), SIGNATURE, SIGNATURE] }),
    "section 5 (signature, type 4) at byte 634 is a second signature section; an EIF has at most one",
  ],
  [
    "a signature in version 2",
    { version: 2, sections: [KERNEL, CMDLINE, RAMDISK, SIGNATURE] },
    "section 3 (signature, type 4) at byte 602 requires version 3; the image has version 2",
  ],
  [
    "a signature that is too long",
    spec({ sections: [...smallSections(), section("signature", "s".repeat(32769))] }),
    "section 4 (signature, type 4) at byte 616 has 32769 bytes; at most 32768 are allowed",
  ],
  [
    "metadata that is too long",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, section("metadata", " ".repeat(1024 * 1024 + 1))] }),
    "section 3 (metadata, type 5) at byte 602 has 1048577 bytes; at most 1048576 are allowed",
  ],
  [
    "a ramdisk before the kernel in AWS's order",
    spec({ sections: [CMDLINE, METADATA, RAMDISK, KERNEL] }),
    "section 2 (ramdisk, type 3) at byte 579 precedes the kernel, which is section 3 (kernel, type 1) at byte 598",
  ],
  [
    "metadata in version 2",
    spec({ version: 2 }),
    "section 3 (metadata, type 5) at byte 602 requires version 4; the image has version 2",
  ],
  ["version 0", spec({ version: 0 }), "version 0 (byte 4) is not supported; supported are 2 to 4"],
  [
    "a section that begins in the header of the one before",
    spec({ sections: [KERNEL, { ...CMDLINE, headerOffset: 559n }, RAMDISK, METADATA] }),
    "section 1 starts at byte 559 (field at byte 36), but the data before it ends at byte 566",
  ],
  [
    "the same section twice",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK, { ...METADATA, headerOffset: 583n, headerSize: 7n }] }),
    "section 3 starts at byte 583 (field at byte 52), but the data before it ends at byte 602",
  ],
  [
    "a signature whose own size is near 2^64",
    spec({ sections: [...smallSections(), { ...SIGNATURE, ownSize: BIG }] }),
    `section 4 (signature, type 4) at byte 616: its ${BIG} bytes from byte 628 extend past the end of the file (634 bytes)`,
  ],
  [
    "a kernel that ends where the file ends",
    spec({ sections: [{ ...KERNEL, headerSize: 56n, ownSize: 56n }, CMDLINE, RAMDISK, METADATA] }),
    "section 1 starts at byte 566 (field at byte 36), but the data before it ends at byte 616",
  ],
  [
    "a kernel that ends one byte later",
    spec({ sections: [{ ...KERNEL, headerSize: 57n, ownSize: 57n }, CMDLINE, RAMDISK, METADATA] }),
    "section 0 (kernel, type 1) at byte 548: its 57 bytes from byte 560 extend past the end of the file (616 bytes)",
  ],
  [
    "version 4 without metadata",
    spec({ sections: [KERNEL, CMDLINE, RAMDISK] }),
    "none of the 3 sections is a metadata (type 5); an EIF of version 4 must have one",
  ],
  [
    "two metadata sections",
    spec({ sections: [...smallSections(), METADATA] }),
    "section 4 (metadata, type 5) at byte 616 is a second metadata section; an EIF has at most one",
  ],
  [
    "metadata in version 3",
    spec({ version: 3 }),
    "section 3 (metadata, type 5) at byte 602 requires version 4; the image has version 3",
  ],
];

describe("invalid images", () => {
  test.each(BAD)("invalid image: %s", (_name, bad, message) => {
    expect(() => readEif(sourceOf(writeEif(bad)))).toThrow(new EifError(message));
  });

  test("invalid image: the message about a wrong CRC has both values", () => {
    const good = writeEif(spec());
    const right = new DataView(good.buffer).getUint32(544);
    const bytes = writeEif(spec({ crc: 0x12345678 }));
    expect(() => check(bytes)).toThrow(
      new EifError(
        `the CRC-32 of the file is ${crcText(right)}, its header says 0x12345678 (byte 544); the file is damaged`,
      ),
    );
  });

  test("invalid image: a change of any byte is detected", () => {
    const good = writeEif(spec());
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x10;
      expect(() => check(bad)).toThrow(EifError);
    }
  });

  test("invalid image: a file that is truncated anywhere is rejected with an EifError", () => {
    const good = writeEif(spec({ sections: [...smallSections(), SIGNATURE] }));
    for (let length = 0; length < good.length; length += 7) {
      expect(() => check(good.subarray(0, length))).toThrow(EifError);
    }
  });

  test("invalid image: the message about a truncated header has both sizes", () => {
    expect(() => readEif(sourceOf(writeEif(spec()).subarray(0, 547)))).toThrow(
      new EifError("the header (548 bytes from byte 0) extends past the end of the file (547 bytes)"),
    );
  });

  test("invalid image: random headers are read or rejected with an EifError", () => {
    const good = writeEif(spec());
    const changes = fc.array(fc.tuple(fc.nat({ max: 611 }), fc.nat({ max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(changes, (bytes) => {
        const bad = good.slice();
        for (const [at, byte] of bytes) bad[4 + at] = byte;
        try {
          readEif(sourceOf(bad));
        } catch (error) {
          expect(error).toBeInstanceOf(EifError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

test("crc32 of the tests: has the standard's check value", () => {
  expect(crc32Of(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
});

describe("a section", () => {
  const bytes = writeEif(spec());
  const { sections } = readEif(sourceOf(bytes));
  const [kernel, cmdline] = sections as [(typeof sections)[0], (typeof sections)[0]];

  test("section: is named by index, type and the byte of its header", () => {
    expect(sectionText(sections, cmdline)).toBe("section 1 (cmdline, type 2) at byte 566");
  });

  test("section: is read as a whole, up to a limit, unless the file ends within it", () => {
    expect(Buffer.from(readPayload(sourceOf(bytes), kernel, 6) ?? []).toString()).toBe("kernel");
    expect(() => readPayload(sourceOf(bytes), kernel, 5)).toThrow(
      new EifError("the kernel at byte 560 has 6 bytes; at most 5 are read"),
    );
    expect(readPayload(sourceOf(bytes.subarray(0, 565)), kernel, 6)).toBeUndefined();
  });
});

test("CRC: is formatted with eight hexadecimal digits", () => {
  expect([crcText(0), crcText(0xffffffff), crcText(0xabc)]).toEqual([
    "0x00000000",
    "0xffffffff",
    "0x00000abc",
  ]);
});
