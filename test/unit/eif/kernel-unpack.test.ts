import { describe, expect, test } from "bun:test";
import type { ByteSource } from "../../../src/eif/format/bytes.ts";
import { zstdFrameEnd, zstdHeader } from "../../../src/eif/initramfs/zstd-frame.ts";
import { KernelError } from "../../../src/eif/kernel/format.ts";
import { MAX_KERNEL_BYTES, unpackKernel } from "../../../src/eif/kernel/unpack.ts";
import { sourceOf } from "./bytes.ts";
import { arm64Image, gzipped, zboot, zstandard } from "./kernels.ts";

const flat = arm64Image();
const gz = gzipped(flat);
const zstd = zstandard(flat);

function why(bytes: ByteSource, form: "gzip" | "zboot"): string {
  try {
    unpackKernel(bytes, form, "vmlinuz");
  } catch (error) {
    if (error instanceof KernelError) return error.why;
    throw error;
  }
  return "nothing";
}

function changed(bytes: Uint8Array, at: number): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

describe("the flat Image is unpacked from", () => {
  test.each([
    ["gzip", "gzip", gz],
    ["gzip with zeros after it", "gzip", new Uint8Array(Buffer.concat([gz, Buffer.alloc(512)]))],
    ["a small one", "gzip", gzipped(arm64Image(1100))],
    ["zboot with gzip", "zboot", zboot(gz, flat)],
    ["zboot with zstd", "zboot", zboot(zstd, flat, { compression: "zstd" })],
  ] as const)("%s", (name, form, bytes) => {
    const expected = name === "a small one" ? arm64Image(1100) : flat;
    expect(Buffer.compare(unpackKernel(sourceOf(bytes), form, "vmlinuz"), expected)).toBe(0);
  });
});

describe("a compressed kernel is rejected with the reason", () => {
  const GZIP = "it is compressed with gzip";
  const ZBOOT = "it is an EFI zboot image";
  const other = (name: string) => `it is compressed with gzip, but contains ${name}, not a flat arm64 Image`;
  test.each([
    ["truncated by one byte", "gzip", gz.subarray(0, -1), `${GZIP}, but truncated`],
    ["truncated in the middle", "gzip", gz.subarray(0, gz.length >> 1), `${GZIP}, but truncated`],
    ["truncated in its header", "gzip", gz.subarray(0, 5), `${GZIP}, but truncated`],
    ["changed in the middle", "gzip", changed(gz, gz.length >> 1), `${GZIP}, but damaged: `],
    [
      "with another checksum",
      "gzip",
      changed(gz, gz.length - 6),
      `${GZIP}, but damaged: incorrect data check`,
    ],
    ["with another method", "gzip", changed(gz, 2), `${GZIP}, but damaged: `],
    ["of a bzImage", "gzip", gzipped(bzImage()), other("an x86 bzImage")],
    ["of a cpio archive", "gzip", gzipped(text(`070701${"0".repeat(2000)}`)), other("a cpio archive")],
    ["of text", "gzip", gzipped(text("hello ".repeat(400))), other("a text file")],
    ["of nothing", "gzip", gzipped(new Uint8Array(0)), other("something of unknown format")],
    ["of gzip again", "gzip", gzipped(gz), other("compressed with gzip")],
    ["truncated in the header", "zboot", zboot(gz, flat).subarray(0, 40), `${ZBOOT}, but truncated`],
    [
      "truncated in the payload",
      "zboot",
      zboot(gz, flat).subarray(0, 0x1000 + 100),
      `${ZBOOT} whose payload (`,
    ],
    ["offset in the header", "zboot", zboot(gz, flat, { payloadOffset: 8 }), `${ZBOOT} whose payload (`],
    ["offset at 4 GiB", "zboot", zboot(gz, flat, { payloadOffset: 0xffffffff }), `${ZBOOT} whose payload (`],
    ["size of 4 GiB", "zboot", zboot(gz, flat, { payloadSize: 0xffffffff }), `${ZBOOT} whose payload (`],
    [
      "no payload",
      "zboot",
      zboot(gz, flat, { payloadSize: 0 }),
      `${ZBOOT} with a gzip payload, but truncated`,
    ],
    [
      "a zstd payload that is truncated",
      "zboot",
      zboot(zstd, flat, { compression: "zstd", payloadSize: zstd.length - 1 }),
      `${ZBOOT} with a zstd payload, but truncated`,
    ],
    [
      "a zstd payload that is changed",
      "zboot",
      zboot(changed(zstd, zstd.length - 2), flat, { compression: "zstd" }),
      `${ZBOOT} with a zstd payload, but damaged: `,
    ],
    [
      "a payload of another compression than the header says",
      "zboot",
      zboot(gz, flat, { compression: "zstd" }),
      `${ZBOOT} with a zstd payload, but truncated`,
    ],
    [
      "xz",
      "zboot",
      zboot(gz, flat, { compression: "xz" }),
      `${ZBOOT} whose payload is compressed with xz; nitro supports gzip and zstd`,
    ],
    [
      "a name of 32 bytes",
      "zboot",
      zboot(gz, flat, { compression: `${"\x1b[2J".repeat(7)}abcd` }),
      `${ZBOOT} whose payload is compressed with ${"?[2J".repeat(7)}abcd; nitro supports gzip and zstd`,
    ],
    [
      "an x86 kernel in a zboot image",
      "zboot",
      zboot(gzipped(bzImage()), flat),
      `${ZBOOT} with a gzip payload, but contains an x86 bzImage, not a flat arm64 Image`,
    ],
  ] as const)("%s (%s)", (_name, form, bytes, message) => {
    expect(why(sourceOf(bytes), form)).toStartWith(message);
  });
});

describe("a kernel larger than the limit is rejected", () => {
  test("large kernel: is rejected before its file is read", () => {
    const bytes = sourceOf(gz, MAX_KERNEL_BYTES + 1);
    expect(why(bytes, "gzip")).toBe(
      "it is compressed with gzip, but larger than 256 MiB, packed or unpacked: it is not a kernel",
    );
  });

  test("large kernel: a wrong size at its end is reported as damage", () => {
    const bytes = new Uint8Array(gz);
    new DataView(bytes.buffer).setUint32(bytes.length - 4, MAX_KERNEL_BYTES + 1, true);
    expect(why(sourceOf(bytes), "gzip")).toBe(
      "it is compressed with gzip, but damaged: incorrect length check",
    );
  });

  test("large kernel: is rejected even if the size at its end is small", () => {
    // The members of a file are concatenated, and only the last one's size is at the end.
    const member = gzipped(new Uint8Array(64 * 1024 * 1024));
    const bomb = new Uint8Array(Buffer.concat([gz, member, member, member, member, gz]));
    const before = process.memoryUsage.rss();
    expect(why(sourceOf(bomb), "gzip")).toContain("larger than 256 MiB");
    expect(process.memoryUsage.rss() - before).toBeLessThan(4 * MAX_KERNEL_BYTES);
  });
});

describe("zstd frame", () => {
  test("zstd frame: has the content's size in its header, and its end is found", () => {
    expect(zstdHeader(zstd.subarray(0, 18))).toMatchObject({ contentBytes: flat.length, hasChecksum: true });
    expect(zstdFrameEnd(zstd)).toBe(zstd.length);
    expect(zstdFrameEnd(new Uint8Array(Buffer.concat([zstd, zstd])))).toBe(zstd.length);
  });

  test.each([1, 3, 200, 255, 256, 65_791, 65_792, 70_000])(
    "zstd frame: one of %d bytes has the right size and end",
    (length) => {
      const frame = zstandard(flat.subarray(0, length));
      expect(zstdHeader(frame)?.contentBytes).toBe(length);
      expect(zstdFrameEnd(frame)).toBe(frame.length);
    },
  );

  test("zstd frame: one that is truncated anywhere has no end", () => {
    for (let length = 0; length < zstd.length; length += 997) {
      expect(zstdFrameEnd(zstd.subarray(0, length))).toBeUndefined();
    }
    expect(zstdFrameEnd(zstd.subarray(0, -1))).toBeUndefined();
    expect(zstdFrameEnd(gz)).toBeUndefined();
  });
});

function bzImage(): Uint8Array {
  const bytes = arm64Image(5000);
  bytes.fill(0, 0x38, 0x3c);
  bytes.set(text("HdrS"), 0x202);
  return bytes;
}

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}
