/** Warnings of `eif build` and `eif describe` about ramdisks from which the kernel cannot start. */
import { afterAll, expect, test } from "bun:test";
import { newcArchive } from "../../support/initrd.ts";
import { Workshop } from "./workspace.ts";

const here = new Workshop();
afterAll(() => here[Symbol.dispose]());

const archive = (path: string, size = 100) =>
  newcArchive([{ path, mode: 0o100755, content: new Uint8Array(size) }]);
const gzip = (bytes: Uint8Array) => Bun.gzipSync(new Uint8Array(bytes));
const NO_INIT =
  "nitro: warning: the initramfs has no /init: the kernel will panic, unless one is built into it; add it, or name " +
  "another program with rdinit=PATH in -append\n";

function build(initrd: string, ...more: readonly string[]): string {
  const args = [
    "build",
    "-arch",
    "x86_64",
    "-o",
    "x.eif",
    "-kernel",
    here.kernel,
    "-initrd",
    initrd,
    ...more,
  ];
  const { err, out, status } = here.eif(args);
  expect([status, out]).toEqual([0, expect.stringContaining("x.eif: ")]);
  return err;
}

test.each([
  ["plain", (bytes: Uint8Array) => bytes],
  ["gzip", gzip],
  ["zstd", (bytes: Uint8Array) => Bun.zstdCompressSync(new Uint8Array(bytes))],
] as const)("a ramdisk without /init draws a warning: %s", (name, pack) => {
  const bare = here.file(`bare.${name}`, new Uint8Array(pack(archive("bin/sh"))));
  expect(build(bare)).toBe(NO_INIT);
  const { err, status, out } = here.eif(["describe", "-json", "x.eif"]);
  expect([err, status, JSON.parse(out).CheckCRC]).toEqual([NO_INIT, 0, true]);
  expect(build(bare, "-append", "rdinit=/bin/sh")).toBe("");
  const good = here.file(`good.${name}`, new Uint8Array(pack(archive("init"))));
  expect(build(bare, "-M", `nitro,ramdisk=${good}`)).toBe("");
});

test("eif build: a proposed memory size that is too small for the unpacked ramdisk causes a warning", () => {
  const large = here.file("large.gz", gzip(archive("init", 40_000_000)));
  const rest = "and without root= in -append the kernel allows them half of the memory; use -m 78M or more\n";
  expect(build(large, "-m", "64M")).toBe(
    `nitro: warning: -m 64M is too little memory: the ramdisks unpack to at least 40000240 bytes, ${rest}`,
  );
  expect(build(large)).toBe("");
  // The image that a launch assembles proposes none.
  expect(build(large, "-like-qemu")).toBe("");
});
