import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { eifCrc } from "../../../src/eif/format/crc.ts";
import { eifHeader, eifSectionHeader } from "../../../src/eif/format/layout.ts";
import { type EifInput, planEif } from "../../../src/eif/format/plan.ts";
import { readEif } from "../../../src/eif/format/reader.ts";
import { crc32Of, section, writeEif } from "./eif-writer.ts";

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

/** The whole file by a plan, its CRC fed in pieces of `step` bytes. */
function assembled(
  commandLine: string,
  files: { kernel: Uint8Array; initrd: Uint8Array },
  architecture: EifInput["architecture"] = "x86_64",
  step = 1 << 20,
): Uint8Array {
  const plan = planEif({
    architecture,
    kernelSize: files.kernel.length,
    ramdiskSizes: files.initrd.length === 0 ? [] : [files.initrd.length],
    commandLine,
  });
  const bytes = new Uint8Array(plan.size);
  let end = 0;
  for (const piece of plan.pieces) {
    expect(piece.offset).toBe(end);
    const content = "bytes" in piece ? piece.bytes : piece.file === "kernel" ? files.kernel : files.initrd;
    bytes.set(content, piece.offset);
    end += content.length;
  }
  expect(end).toBe(plan.size);
  const crc = eifCrc();
  for (let at = 0; at < bytes.length; at += step) crc.add(bytes.subarray(at, at + step));
  new DataView(bytes.buffer).setUint32(544, crc.value());
  return bytes;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("the image that QEMU 11.1 makes of the same files", () => {
  test("with a ramdisk and a command line", () => {
    const bytes = assembled("console=ttyS0 reboot=k", { kernel: sampleKernel(), initrd: sampleInitrd() });
    expect(bytes.length).toBe(1_066_160);
    expect(sha256(bytes)).toBe("c0cd8f528ce449ea4fdb83a634cefcc4768c7c4d973e57a4f7f18c9cae110a9f");
  });

  test("with a kernel alone", () => {
    const bytes = assembled("", { kernel: sampleKernel(), initrd: new Uint8Array(0) });
    expect(bytes.length).toBe(1_000_601);
    expect(sha256(bytes)).toBe("7f9badca152ccb0f15a9032214da5a3058f1597a977f343e7295e8566a64ff5c");
  });
});

describe("a plan", () => {
  const kernel = new TextEncoder().encode("kernel");
  const initrd = new TextEncoder().encode("ramdisk");

  test.each(["x86_64", "aarch64"] as const)("for %s is what the tests' own writer makes", (architecture) => {
    const own = writeEif({
      flags: architecture === "aarch64" ? 1 : 0,
      sections: [
        section("kernel", "kernel"),
        section("cmdline", "größe=1"),
        section("ramdisk", "ramdisk"),
        section("metadata", "{}"),
      ],
    });
    expect(sha256(assembled("größe=1", { kernel, initrd }, architecture))).toBe(sha256(own));
  });

  test("of files of several gigabytes holds no byte of them", () => {
    const size = 5 * 2 ** 30 + 1;
    const plan = planEif({ architecture: "x86_64", kernelSize: 10, ramdiskSizes: [size], commandLine: "" });
    expect(plan.size).toBe(548 + 4 * 12 + 10 + size + 2);
    expect(plan.pieces.filter((piece) => "file" in piece).map((piece) => piece.offset)).toEqual([560, 594]);
  });

  test("is read back by the reader", () => {
    const bytes = assembled("quiet", { kernel, initrd });
    const read = (into: Uint8Array, offset: number) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    };
    expect(readEif({ size: bytes.length, read }).sections.map(({ name }) => name)).toEqual([
      "kernel",
      "cmdline",
      "ramdisk",
      "metadata",
    ]);
  });
});

describe("the CRC", () => {
  test.each([1, 7, 543, 544, 545, 546, 547, 548, 549, 1000])("is the same in pieces of %d bytes", (step) => {
    const bytes = new Uint8Array(1500).map((_, i) => i * 31);
    const covered = Buffer.concat([bytes.subarray(0, 544), bytes.subarray(548)]);
    const crc = eifCrc();
    for (let at = 0; at < bytes.length; at += step) crc.add(bytes.subarray(at, at + step));
    expect(crc.value()).toBe(crc32Of(covered));
  });

  test("of nothing is 0, and its own field does not count", () => {
    expect(eifCrc().value()).toBe(0);
    const crc = eifCrc();
    crc.add(new Uint8Array(544));
    const before = crc.value();
    crc.add(new Uint8Array([1, 2, 3, 4]));
    expect(crc.value()).toBe(before);
  });
});

test("the layout is the specification's", () => {
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
});
