import { expect, test } from "bun:test";
import { bootableFormat, KERNEL_HEAD_BYTES, kernelFormat } from "../../src/image/kernel-format.ts";

/** The first bytes of a kernel: text at offsets, one byte a character. */
function head(...texts: [at: number, text: string][]): Uint8Array {
  const bytes = Buffer.alloc(KERNEL_HEAD_BYTES);
  for (const [at, text] of texts) bytes.write(text, at, "latin1");
  return new Uint8Array(bytes);
}

test.each([
  ["an x86 bzImage", "x86_64", head([0x1fe, "\x55\xaa"], [0x202, "HdrS"])],
  ["an x86 bzImage", "x86_64", head([0, "MZ"], [0x202, "HdrS"])],
  ["an arm64 Image", "aarch64", head([0x38, "ARM\x64"])],
  ["an arm64 Image", "aarch64", head([0, "MZ"], [0x38, "ARM\x64"])],
  ["an EFI zboot image", undefined, head([0, "MZ"], [4, "zimg"], [24, "gzip"])],
  ["an EFI zboot image", undefined, head([0, "MZ"], [4, "zimg"], [0x38, "ARM\x64"])],
  ["an ELF file", undefined, head([0, "\x7fELF"])],
  ["compressed with gzip", undefined, head([0, "\x1f\x8b\x08"])],
  ["compressed with zstd", undefined, head([0, "\x28\xb5\x2f\xfd"])],
  ["compressed with xz", undefined, head([0, "\xfd7zXZ\0"])],
  ["of no known format", undefined, head()],
  ["of no known format", undefined, new Uint8Array(0)],
  ["of no known format", undefined, head([0x202, "HdrS"]).subarray(0, 0x204)],
] as const)("%s boots %p", (name, boots, bytes) => {
  expect(kernelFormat(bytes)).toEqual({ name, boots });
});

test("what an enclave starts", () => {
  expect(bootableFormat("x86_64")).toBe("an x86 bzImage");
  expect(bootableFormat("aarch64")).toBe("a flat arm64 Image");
});
