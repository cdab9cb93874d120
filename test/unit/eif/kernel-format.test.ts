import { describe, expect, test } from "bun:test";
import {
  bootableFormat,
  KERNEL_HEAD_BYTES,
  KernelError,
  kernelForm,
  kernelFormat,
} from "../../../src/eif/kernel/format.ts";

/** The first bytes of a kernel: text at offsets, one byte a character. */
function head(...texts: [at: number, text: string][]): Uint8Array {
  const bytes = Buffer.alloc(KERNEL_HEAD_BYTES, 0x01);
  for (const [at, text] of texts) bytes.write(text, at, "latin1");
  return new Uint8Array(bytes);
}

const elf = (machine: string) => head([0, "\x7fELF\x02\x01\x01"], [18, machine]);
const VMLINUX = "(a vmlinux, if it is a kernel)";

test.each([
  ["an x86 bzImage", "x86_64", head([0x1fe, "\x55\xaa"], [0x202, "HdrS"])],
  ["an x86 bzImage", "x86_64", head([0, "MZ"], [0x202, "HdrS"])],
  ["an arm64 Image", "aarch64", head([0x38, "ARM\x64"])],
  ["an arm64 Image", "aarch64", head([0, "MZ"], [0x38, "ARM\x64"])],
  ["an EFI zboot image", undefined, head([0, "MZ"], [4, "zimg"], [24, "gzip"])],
  ["an EFI zboot image", undefined, head([0, "MZ"], [4, "zimg"], [0x38, "ARM\x64"])],
  [`an ELF file for x86_64 ${VMLINUX}`, undefined, elf("\x3e\0")],
  [`an ELF file for aarch64 ${VMLINUX}`, undefined, elf("\xb7\0")],
  [`an ELF file ${VMLINUX}`, undefined, elf("\xf3\0")],
  [`an ELF file ${VMLINUX}`, undefined, head([0, "\x7fELF"]).subarray(0, 6)],
  ["an EIF", undefined, head([0, ".eif"])],
  ["a cpio archive", undefined, head([0, "070701"])],
  ["an EFI program", undefined, head([0, "MZ"], [0x1fe, "\x55\xaa"])],
  ["a disk image (boot sector)", undefined, head([0x1fe, "\x55\xaa"])],
  ["a package or archive (ar)", undefined, head([0, "!<arch>\n"])],
  ["a tar archive", undefined, head([0x101, "ustar"])],
  ["compressed with lzma", undefined, head([0, "\x5d\0\0\x80\0"])],
  ["compressed with bzip2", undefined, head([0, "BZh9"])],
  ["compressed with lz4", undefined, head([0, "\x02\x21\x4c\x18"])],
  ["compressed with lz4", undefined, head([0, "\x04\x22\x4d\x18"])],
  ["compressed with lzo", undefined, head([0, "\x89LZO\0"])],
  ["a file that starts with zeros", undefined, new Uint8Array(KERNEL_HEAD_BYTES)],
  ["a text file", undefined, new TextEncoder().encode("version https://git-lfs…\n")],
  ["a script", undefined, new TextEncoder().encode("#!/bin/sh\n")],
  ["compressed with gzip", undefined, head([0, "\x1f\x8b\x08"])],
  ["compressed with zstd", undefined, head([0, "\x28\xb5\x2f\xfd"])],
  ["compressed with xz", undefined, head([0, "\xfd7zXZ\0"])],
  ["of unknown format", undefined, head()],
  ["of unknown format", undefined, new Uint8Array(0)],
  ["of unknown format", undefined, head([0x202, "HdrS"]).subarray(0, 0x204)],
] as const)("%s boots %p", (name, boots, bytes) => {
  const { name: found, boots: bootsOn } = kernelFormat(bytes);
  expect({ found, bootsOn }).toEqual({ found: name, bootsOn: boots });
});

test("bootable format: a bzImage on x86_64 and a flat Image on aarch64", () => {
  expect(bootableFormat("x86_64")).toBe("an x86 bzImage");
  expect(bootableFormat("aarch64")).toBe("a flat arm64 Image");
});

describe("kernel file", () => {
  const form = (bytes: Uint8Array, architecture: "x86_64" | "aarch64") => {
    try {
      return kernelForm(bytes, architecture, "a/$&");
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return `${error.why} / ${error.hint}`;
    }
  };
  const bzImage = head([0x202, "HdrS"]);
  const image = head([0x38, "ARM\x64"]);
  const gzip = head([0, "\x1f\x8b\x08"]);
  const zboot = head([0, "MZ"], [4, "zimg"]);
  const needs = (x86: string, arm: string) => [
    `it is ${x86}; an enclave on x86_64 boots an x86 bzImage, and with anything else it hangs without output`,
    `it is ${arm}; an enclave on aarch64 boots a flat arm64 Image, and with anything else it hangs without output`,
  ];

  test("kernel file: is accepted as it is or unpacked, depending on the architecture", () => {
    expect(form(bzImage, "x86_64")).toBe("flat");
    expect([image, gzip, zboot].map((bytes) => form(bytes, "aarch64"))).toEqual(["flat", "gzip", "zboot"]);
  });

  test.each([
    [bzImage, "aarch64", `${needs("", "an x86 bzImage")[1]} / use a kernel built for arm64`],
    [image, "x86_64", `${needs("an arm64 Image", "")[0]} / use a kernel built for x86_64`],
    [
      gzip,
      "x86_64",
      `${needs("compressed with gzip", "")[0]} / gzip -dc 'a/$&' > bzImage, if it contains one`,
    ],
    [head([0, "\xfd7zXZ\0"]), "aarch64", `${needs("", "compressed with xz")[1]} / xz -dc 'a/$&' > Image`],
    [
      elf("\xb7\0"),
      "aarch64",
      `${needs("", `an ELF file for aarch64 ${VMLINUX}`)[1]} / objcopy -O binary 'a/$&' Image, ` +
        "or use arch/arm64/boot/Image of the same kernel build",
    ],
    [head([0, "070701"]), "x86_64", `${needs("a cpio archive", "")[0]} / for a ramdisk: -initrd 'a/$&'`],
    [head(), "x86_64", `${needs("of unknown format", "")[0]} / undefined`],
  ] as const)(
    "kernel file: is rejected with its format and a command that converts it (%#)",
    (bytes, architecture, message) => {
      expect(form(bytes, architecture)).toBe(message);
    },
  );
});
