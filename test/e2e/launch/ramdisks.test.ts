/** Warnings of a launch about ramdisks from which the kernel cannot start. */
import { afterAll, describe, expect, test } from "bun:test";
import { newcArchive } from "../../support/initrd.ts";
import { assembledEif, fakeKernel } from "./images.ts";
import { expectNothingLeft, LIVE_MS, launch, lines, NITRO, notHere, Workplace } from "./nitro.ts";

const here = new Workplace();
afterAll(() => here[Symbol.dispose]());

const scenario = { enclave: { console: ["hello"], heartbeatMs: 1, liveMs: LIVE_MS } };
const archive = (path: string, size = 100) =>
  newcArchive([{ path, mode: 0o100755, content: new Uint8Array(size) }]);
const gzip = (bytes: Uint8Array) => Bun.gzipSync(new Uint8Array(bytes));

const NO_INIT =
  "nitro: warning: the initramfs has no /init: the kernel will panic, unless one is built into it; add it, or name " +
  "another program with rdinit=PATH in -append";

async function warned(...args: readonly string[]): Promise<string[]> {
  const result = await launch([NITRO, "-accel", "nitro,debug-mode=on", ...args], scenario);
  expect(result.stdout).toBe("hello\n");
  expectNothingLeft(result);
  return lines(result.stderr).filter((line) => line.startsWith("nitro: warning: "));
}

describe.concurrent.skipIf(notHere !== undefined)("ramdisk warnings", () => {
  const kernel = ["-kernel", here.kernel, "-m", "64M"];
  const [bare, good] = [here.file("bare", archive("bin/sh")), here.file("good", archive("init"))];

  test("ramdisk warning: ramdisks without /init are reported, and the enclave starts", async () => {
    expect(await warned(...kernel, "-initrd", bare)).toEqual([NO_INIT]);
  });

  test("ramdisk warning: the ramdisks of an EIF are checked as well", async () => {
    const eif = here.file("bare.eif", assembledEif(fakeKernel(), archive("bin/sh"), "quiet"));
    expect(await warned("-kernel", eif, "-m", "64M")).toEqual([NO_INIT]);
  });

  test("ramdisk warning: there is none if rdinit= or another ramdisk provides the program", async () => {
    expect(await warned(...kernel, "-initrd", bare, "-append", "rdinit=/bin/sh")).toEqual([]);
    expect(await warned(...kernel, "-initrd", bare, "-M", `nitro,ramdisk=${good}`)).toEqual([]);
  });

  test("ramdisk warning: too little memory is reported by the size in a compressed ramdisk's header", async () => {
    const content = archive("init", 40_000_000);
    const packed = here.file("large.gz", gzip(content));
    expect(await warned(...kernel, "-initrd", packed)).toEqual([
      `nitro: warning: -m 64M is too little memory: the ramdisks unpack to at least ${content.length} bytes, and ` +
        "without root= in -append the kernel allows them half of the memory; use -m 78M or more",
    ]);
    expect(await warned(...kernel, "-initrd", packed, "-m", "78M")).toEqual([]);
    expect(await warned(...kernel, "-initrd", packed, "-append", "root=/dev/ram0")).toEqual([]);
  });

  test("reports that a gzip ramdisk is truncated instead of the size that its last bytes claim", async () => {
    const packed = gzip(archive("init", 4_000_000)).subarray(0, -50);
    // These bytes claim 3.7 GB.
    packed.set([0xff, 0xee, 0xdd, 0xdc], packed.length - 4);
    const [warning, ...more] = await warned(...kernel, "-initrd", here.file("truncated.gz", packed));
    expect(warning).toMatch(/^nitro: warning: the ramdisk is (truncated|damaged): its gzip data /);
    expect(more).toEqual([]);
  });
});
