/**
 * Tells a kernel's format by its first bytes. Sources: Documentation/arch/x86/boot.rst, Documentation/arch/arm64/
 * booting.rst, drivers/firmware/efi/libstub/zboot-header.S, and the magic numbers of the compressors.
 */
import type { Architecture } from "./eif-layout.ts";

/** As many bytes as `kernelFormat` looks at. */
export const KERNEL_HEAD_BYTES = 1024;

/** A format in words, and the architecture that can start it as it is, if one can. */
export interface KernelFormat {
  readonly name: string;
  readonly boots: Architecture | undefined;
}

const MAGIC: readonly { name: string; boots?: Architecture; at: number; bytes: string }[] = [
  { name: "an x86 bzImage", boots: "x86_64", at: 0x202, bytes: "HdrS" },
  { name: "an EFI zboot image", at: 4, bytes: "zimg" },
  { name: "an arm64 Image", boots: "aarch64", at: 0x38, bytes: "ARM\x64" },
  { name: "an ELF file", at: 0, bytes: "\x7fELF" },
  { name: "compressed with gzip", at: 0, bytes: "\x1f\x8b" },
  { name: "compressed with zstd", at: 0, bytes: "\x28\xb5\x2f\xfd" },
  { name: "compressed with xz", at: 0, bytes: "\xfd7zXZ" },
];

/** The format of the file that begins with `head`; "of no known format" where nothing matches. */
export function kernelFormat(head: Uint8Array): KernelFormat {
  const found = MAGIC.find(({ at, bytes }) =>
    [...bytes].every((char, i) => head[at + i] === char.charCodeAt(0)),
  );
  return { name: found?.name ?? "of no known format", boots: found?.boots };
}

/** What the hypervisor of an architecture starts. */
export function bootableFormat(architecture: Architecture): string {
  return architecture === "x86_64" ? "an x86 bzImage" : "a flat arm64 Image";
}
