/**
 * The valid files that the fuzzer breaks. Those in seeds/ were written once by the tests' own writers and OpenSSL, so
 * that a case is the same on every machine; others derive from them; the real ones are Debian's kernels, and images of
 * them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { newcArchive } from "../support/initrd.ts";
import { arm64Guest, guestKernel } from "../support/packages.ts";
import { section, TYPE, writeEif } from "../unit/eif/eif-writer.ts";
import { arm64Image, zboot, zstandard } from "../unit/eif/kernels.ts";

export const SEEDS = join(import.meta.dir, "seeds");

const stored = (name: string) => new Uint8Array(readFileSync(join(SEEDS, name)));
const filled = (length: number, at: number, text: string) => {
  const bytes = new Uint8Array(length).map((_, i) => (i * 5) & 0xff);
  bytes.set(new TextEncoder().encode(text), at);
  return bytes;
};
const flat = arm64Image(9000);
const gz = () => new Uint8Array(gzipSync(flat));
const archives = newcArchive([
  { path: "bin/sh", mode: 0o100755, content: filled(3000, 0, "#!") },
  { path: "sbin", mode: 0o120777, content: filled(3, 0, "bin") },
  { path: "init", mode: 0o100755, content: filled(40, 0, "#!") },
]);
const realImage = (kernel: () => Uint8Array, flags: number) => () => writeReal(kernel(), flags);

/** The writer computes the CRC bit by bit, which is too slow here: the fuzzer corrects it. */
function writeReal(kernel: Uint8Array, flags: number): Uint8Array {
  const sections = [{ type: TYPE.kernel, payload: kernel }, section("cmdline", "console=ttyS0")];
  const rest = [section("metadata", "{}"), { type: TYPE.ramdisk, payload: archives }];
  return writeEif({ flags, sections: [...sections, ...rest], crc: 0 });
}

const MADE: Readonly<Record<string, () => Uint8Array>> = {
  "arm64-Image": () => flat,
  "arm64-Image.gz": gz,
  "arm64-zboot-gzip": () => zboot(gz(), flat),
  "arm64-zboot-zstd": () => zboot(zstandard(flat), flat, { compression: "zstd" }),
  cpio: () => archives,
  "cpio.gz": () => new Uint8Array(gzipSync(archives)),
  "cpio.zst": () => new Uint8Array(zstdCompressSync(archives)),
  "cpio-and-gz": () => new Uint8Array(Buffer.concat([stored("initrd"), gzipSync(archives)])),
  "cpio.xz": () => filled(900, 0, "\u{fd}7zXZ\0"),
  elf: () => filled(2000, 0, "\x7fELF\x02\x01\x01"),
  text: () => new TextEncoder().encode("not a kernel\n".repeat(90)),
  zstd: () => new Uint8Array(zstdCompressSync(flat)),
  "amd64-vmlinuz": () => new Uint8Array(readFileSync(guestKernel())),
  "arm64-vmlinuz": () => new Uint8Array(readFileSync(arm64Guest().kernel)),
  "arm64-vmlinuz.gz": () => new Uint8Array(gzipSync(readFileSync(arm64Guest().kernel), { level: 1 })),
  "arm64-vmlinuz-zboot": () => {
    const kernel = new Uint8Array(readFileSync(arm64Guest().kernel));
    return zboot(new Uint8Array(zstdCompressSync(kernel)), kernel, { compression: "zstd" });
  },
  "amd64-real.eif": realImage(() => seed("amd64-vmlinuz"), 0),
  "arm64-real.eif": realImage(() => seed("arm64-vmlinuz"), 1),
};

const kept = new Map<string, Uint8Array>();

/** Returns a seed's bytes. */
export function seed(name: string): Uint8Array {
  const found = kept.get(name) ?? (MADE[name] ?? (() => stored(name)))();
  kept.set(name, found);
  return found;
}

const names = readdirSync(SEEDS).sort();
const ending = (suffix: string) => names.filter((name) => name.endsWith(suffix));

export const IMAGES = ending(".eif");
export const CERTIFICATES = ending(".crt");
export const KEYS = ending(".key");
export const RAMDISKS = ["initrd", "cpio", "cpio.gz", "cpio.zst", "cpio-and-gz", "cpio.xz"];
export const ARM64_KERNELS = ["arm64-Image", "arm64-Image.gz", "arm64-zboot-gzip", "arm64-zboot-zstd"];
export const OTHER_FILES = ["elf", "text", "zstd", "bzImage", "plain.eif"];
export const REAL_IMAGES = ["amd64-real.eif", "arm64-real.eif"];
export const REAL_ARM64 = ["arm64-vmlinuz", "arm64-vmlinuz.gz", "arm64-vmlinuz-zboot"];
