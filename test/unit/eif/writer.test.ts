import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { launchSections } from "../../../src/eif/contents.ts";
import { encodeCrc, startCrc } from "../../../src/eif/format/crc.ts";
import { EIF_SECTION, eifHeader, eifSectionHeader } from "../../../src/eif/format/layout.ts";
import { readEif } from "../../../src/eif/format/reader.ts";
import {
  type EifHeaderFields,
  type EifPlan,
  encodeSectionHeader,
  planEif,
  planWithCrc,
  replaceSection,
  type SectionContent,
} from "../../../src/eif/format/writer.ts";
import { sourceOf } from "./bytes.ts";
import { crc32Of, section, TYPE, writeEif } from "./eif-writer.ts";

const X86: EifHeaderFields = { architecture: "x86_64", memoryBytes: 0, cpus: 0 };

/** 1,000,003 bytes that look like a bzImage. */
function sampleKernel(): Uint8Array {
  const bytes = new Uint8Array(1_000_003).map((_, i) => (7 * i + 3) % 256);
  bytes.set([0x55, 0xaa], 0x1fe);
  bytes.set(new TextEncoder().encode("HdrS"), 0x202);
  bytes.set([0x0f, 0x02], 0x206);
  return bytes;
}

function sampleInitrd(): Uint8Array {
  return new Uint8Array(65_537).map((_, i) => (13 * i + 5) % 256);
}

/** The sections of a launch whose files are in memory. */
function sectionsOf(kernel: Uint8Array, commandLine: string, ramdisks: readonly Uint8Array[]) {
  const [first, second, ...rest] = launchSections({ name: "kernel", content: kernel }, commandLine, []);
  const disks = ramdisks.map((content) => ({ name: "ramdisk" as const, content }));
  return [first, second, ...(disks.length === 0 ? [rest[0]] : disks), rest[1]].filter(
    (content) => content !== undefined,
  );
}

/** The bytes of a plan of byte payloads; its extents must follow each other without gaps. */
function bytesOf<F>(plan: EifPlan<F>): Uint8Array {
  const bytes = new Uint8Array(plan.size);
  let end = 0;
  for (const { offset, content } of plan.extents) {
    if (!(content instanceof Uint8Array)) throw new Error("a file");
    expect(offset).toBe(end);
    bytes.set(content, offset);
    end += content.length;
  }
  expect(end).toBe(plan.size);
  return bytes;
}

function crcOf(bytes: Uint8Array, step = 1 << 20): number {
  const crc = startCrc();
  for (let at = 0; at < bytes.length; at += step) crc.add(bytes.subarray(at, at + step));
  return crc.value();
}

/** The whole file of a plan. */
function fileOf<F>(plan: EifPlan<F>): Uint8Array {
  return bytesOf(planWithCrc(plan, crcOf(bytesOf(plan))));
}

function assembled(commandLine: string, kernel: Uint8Array, initrd: Uint8Array | undefined, fields = X86) {
  return fileOf(planEif(fields, sectionsOf(kernel, commandLine, initrd === undefined ? [] : [initrd])));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("an assembled image equals the one of QEMU 11.1", () => {
  test("assembled image: with a ramdisk and a command line it equals QEMU's", () => {
    const bytes = assembled("console=ttyS0 reboot=k", sampleKernel(), sampleInitrd());
    expect(bytes.length).toBe(1_066_160);
    expect(sha256(bytes)).toBe("c0cd8f528ce449ea4fdb83a634cefcc4768c7c4d973e57a4f7f18c9cae110a9f");
  });

  test("assembled image: with a kernel only it equals QEMU's", () => {
    const bytes = assembled("", sampleKernel(), undefined);
    expect(bytes.length).toBe(1_000_601);
    expect(sha256(bytes)).toBe("7f9badca152ccb0f15a9032214da5a3058f1597a977f343e7295e8566a64ff5c");
  });
});

describe("a plan", () => {
  const kernel = new TextEncoder().encode("kernel");
  const initrd = new TextEncoder().encode("ramdisk");

  test.each(["x86_64", "aarch64"] as const)(
    "plan: for %s it equals the tests' own writer's",
    (architecture) => {
      const own = writeEif({
        flags: architecture === "aarch64" ? 1 : 0,
        sections: [
          section("kernel", "kernel"),
          section("cmdline", "größe=1"),
          section("ramdisk", "ramdisk"),
          section("metadata", "{}"),
        ],
      });
      const bytes = assembled("größe=1", kernel, initrd, { ...X86, architecture });
      expect(sha256(bytes)).toBe(sha256(own));
    },
  );

  test("plan: for files of several gigabytes it contains none of their bytes", () => {
    const size = 5 * 2 ** 30 + 1;
    const files: SectionContent<{ readonly size: number }>[] = [
      { name: "kernel", content: { size: 10 } },
      { name: "cmdline", content: new Uint8Array(0) },
      { name: "ramdisk", content: { size } },
      { name: "metadata", content: new TextEncoder().encode("{}") },
    ];
    const plan = planEif(X86, files);
    expect(plan.size).toBe(548 + 4 * 12 + 10 + size + 2);
    const offsets = plan.extents.filter(({ content }) => !(content instanceof Uint8Array));
    expect(offsets.map(({ offset }) => offset)).toEqual([560, 594]);
  });
});

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => new Uint8Array(array));
const fields = fc.record({
  architecture: fc.constantFrom("x86_64" as const, "aarch64" as const),
  memoryBytes: fc.maxSafeNat(),
  cpus: fc.nat({ max: 4096 }),
});
/** Sections in an order that the specification allows. */
const contents = fc
  .record({
    kernel: bytes,
    cmdline: bytes,
    metadata: bytes,
    ramdisks: fc.array(bytes, { maxLength: 28 }),
    signature: fc.option(bytes, { nil: undefined }),
  })
  .map(({ kernel, cmdline, metadata, ramdisks, signature }): SectionContent<never>[] => [
    { name: "kernel", content: kernel },
    { name: "cmdline", content: cmdline },
    { name: "metadata", content: metadata },
    ...ramdisks.map((content) => ({ name: "ramdisk" as const, content })),
    ...(signature === undefined ? [] : [{ name: "signature" as const, content: signature }]),
  ]);

describe("round trips", () => {
  test("round trip: the reader finds in a written image what was written", () => {
    fc.assert(
      fc.property(fields, contents, (written, sections) => {
        const plan = planEif(written, sections);
        const file = fileOf(plan);
        const header = readEif(sourceOf(file));
        expect(header).toEqual({
          version: 4,
          architecture: written.architecture,
          defaultMemoryBytes: BigInt(written.memoryBytes),
          defaultCpus: BigInt(written.cpus),
          sections: plan.sections,
          crc: crcOf(file),
        });
        const payloads = header.sections.map(({ offset, size }) => file.subarray(offset, offset + size));
        const hex = (payload: Uint8Array) => Buffer.from(payload).toString("hex");
        expect(payloads.map(hex)).toEqual(sections.map(({ content }) => hex(content)));
      }),
    );
  });

  test("round trip: a written image equals the tests' own writer's", () => {
    fc.assert(
      fc.property(contents, (sections) => {
        const own = writeEif({
          sections: sections.map(({ name, content }) => ({ type: TYPE[name], payload: content })),
        });
        expect(Buffer.compare(fileOf(planEif(X86, sections)), own)).toBe(0);
      }),
    );
  });

  test("round trip: an image whose signature is added or replaced equals one that was written with it", () => {
    fc.assert(
      fc.property(fields, contents, bytes, (written, sections, signature) => {
        const old = fileOf(planEif(written, sections));
        const unsigned = sections.filter(({ name }) => name !== "signature");
        const index = unsigned.length;
        const { offset, size } = readEif(sourceOf(old)).sections[index] ?? {
          offset: old.length + 12,
          size: 0,
        };
        const place = { index, start: offset - 12, end: Math.min(offset + size, old.length) };
        const header = old.subarray(0, 548);
        const rest = [old.subarray(548, place.start), encodeSectionHeader("signature", signature.length)];
        const crc = crcOf(
          Buffer.concat([replaceSection(header, place, signature.length, 0), ...rest, signature]),
        );
        const now = Buffer.concat([replaceSection(header, place, signature.length, crc), ...rest, signature]);
        const expected = fileOf(planEif(written, [...unsigned, { name: "signature", content: signature }]));
        expect(Buffer.compare(now, expected)).toBe(0);
      }),
    );
  });
});

describe("CRC", () => {
  test("CRC: does not depend on how the file is divided into chunks", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 540, maxLength: 1500 }), fc.nat({ max: 1000 }), (file, step) => {
        const covered = Buffer.concat([file.subarray(0, 544), file.subarray(548)]);
        expect(crcOf(file, step + 1)).toBe(crc32Of(covered));
      }),
    );
  });

  test.each([1, 7, 543, 544, 545, 546, 547, 548, 549, 1000])(
    "CRC: is the same in chunks of %d bytes",
    (step) => {
      const file = new Uint8Array(1500).map((_, i) => i * 31);
      expect(crcOf(file, step)).toBe(crc32Of(Buffer.concat([file.subarray(0, 544), file.subarray(548)])));
    },
  );

  test("CRC: is 0 without bytes, and its own field is not included", () => {
    expect(startCrc().value()).toBe(0);
    const crc = startCrc();
    crc.add(new Uint8Array(544));
    const before = crc.value();
    crc.add(new Uint8Array([1, 2, 3, 4]));
    expect(crc.value()).toBe(before);
  });

  test("CRC: is encoded big-endian", () => {
    expect(Array.from(encodeCrc(0x12345678))).toEqual([0x12, 0x34, 0x56, 0x78]);
  });
});

test("layout: is that of the specification", () => {
  expect(eifHeader.offsets).toEqual({
    magic: 0,
    version: 4,
    flags: 6,
    default_mem: 8,
    default_cpus: 16,
    reserved: 24,
    num_sections: 26,
    section_offsets: 28,
    section_sizes: 284,
    unused: 540,
    eif_crc32: 544,
  });
  expect([eifHeader.size, eifSectionHeader.size]).toEqual([548, 12]);
  expect(eifSectionHeader.offsets).toEqual({ section_type: 0, flags: 2, section_size: 4 });
  expect(EIF_SECTION).toEqual({ kernel: 1, cmdline: 2, ramdisk: 3, signature: 4, metadata: 5 });
});
