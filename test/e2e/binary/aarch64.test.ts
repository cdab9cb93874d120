/** The program for aarch64, under qemu-user; on an aarch64 machine it runs as it is. */
import { afterAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { version } from "../../../package.json" with { type: "json" };
import { smallSections, writeEif } from "../../unit/eif/eif-writer.ts";
import { arm64Image, gzipped, zboot, zstandard } from "../../unit/eif/kernels.ts";
import { runAarch64, whyNoAarch64 } from "./emulated-processor.ts";
import { HostileDirectory } from "./hostile.ts";
import { built, type Ended, firstLine, hasDevice, NO_DEVICE, type RunOptions } from "./nitro.ts";

if (whyNoAarch64 !== undefined) console.log(`test/e2e/binary/aarch64 is skipped: ${whyNoAarch64}`);

function aarch64(args: readonly string[], options: RunOptions = {}): Ended {
  return runAarch64(built("nitro-aarch64"), args, options);
}

/** Returns the bytes with one bit in the middle changed. */
function damaged(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 0x04;
  return copy;
}

describe.skipIf(whyNoAarch64 !== undefined)("aarch64 executable", () => {
  const hostile = new HostileDirectory();
  afterAll(() => hostile[Symbol.dispose]());
  const eif = (name: string, flags: number) => {
    writeFileSync(hostile.file(name), writeEif({ flags, sections: smallSections() }));
    return hostile.file(name);
  };

  test("aarch64 executable: prints its version and architecture", () => {
    const { out, status } = aarch64(["-version"]);
    expect(out).toEndWith(`\nnitro ${version} (aarch64, Bun ${Bun.version})\n`);
    expect(status).toBe(0);
  });

  test("aarch64 executable: prints help", () => {
    const { out, err, status } = aarch64(["-help"]);
    expect(out).toStartWith(`nitro ${version}: launches `);
    expect({ err, status }).toEqual({ err: "", status: 0 });
  });

  test.each([
    ["-nosuch", "-nosuch: invalid option"],
    ["-drive x", "-drive: an enclave has no disks"],
    [
      "-kernel k -m lots",
      "-m lots: Parameter 'size' expects a size: a number with k, M, G, T, P or E, in MiB without one",
    ],
    [
      "-kernel k -accel nitro,enclave-cid=abc",
      "-accel nitro,enclave-cid=abc: Parameter 'enclave-cid' expects uint64",
    ],
    ["-kernel k", "-kernel k: No such file or directory (ENOENT)"],
  ])("aarch64 executable: %s", (args, line) => {
    const { out, err, status } = aarch64(args.split(" "));
    expect(firstLine(err)).toBe(`nitro: ${line}`);
    expect({ out, status }).toEqual({ out: "", status: 1 });
  });

  test.skipIf(hasDevice)(
    "aarch64 executable: accepts an EIF for aarch64, and reports the missing device",
    () => {
      const { err, status } = aarch64(["-kernel", eif("arm.eif", 1)]);
      expect(firstLine(err)).toStartWith(NO_DEVICE);
      expect(status).toBe(1);
    },
  );

  test("aarch64 executable: refuses an EIF for x86_64", () => {
    const path = eif("x86.eif", 0);
    expect(firstLine(aarch64(["-kernel", path]).err)).toBe(
      `nitro: -kernel ${path}: the image is for x86_64, this instance is aarch64`,
    );
  });

  test("aarch64 executable: refuses a kernel for another architecture", () => {
    const bytes = Buffer.alloc(2048);
    bytes.write("HdrS", 0x202);
    writeFileSync(hostile.file("bzImage"), bytes);
    expect(firstLine(aarch64(["-kernel", hostile.file("bzImage")]).err)).toBe(
      `nitro: -kernel ${hostile.file("bzImage")}: it is an x86 bzImage; an enclave on aarch64 boots a flat arm64 ` +
        "Image, and with anything else it hangs without output",
    );
  });

  const flat = arm64Image();
  const zstd = zstandard(flat);
  const kernels: readonly (readonly [name: string, bytes: Uint8Array])[] = [
    ["Image", flat],
    ["Image.gz", gzipped(flat)],
    ["vmlinuz.gzip.efi", zboot(gzipped(flat), flat)],
    ["vmlinuz.zstd.efi", zboot(zstd, flat, { compression: "zstd" })],
  ];

  test.skipIf(hasDevice).each(kernels)(
    "aarch64 executable: accepts %s, and reports the missing device",
    (name, bytes) => {
      writeFileSync(hostile.file(name), bytes);
      const { err, status } = aarch64(["-kernel", hostile.file(name)]);
      expect(firstLine(err)).toStartWith(NO_DEVICE);
      expect(status).toBe(1);
    },
  );

  test.each([
    ["damaged.gz", damaged(gzipped(flat)), "it is compressed with gzip, but damaged: "],
    ["cut.gz", gzipped(flat).subarray(0, 5000), "it is compressed with gzip, but truncated"],
    [
      "tar.gz",
      gzipped(Buffer.from("some text ".repeat(500))),
      "it is compressed with gzip, but contains a text file",
    ],
    [
      "lzma.efi",
      zboot(zstd, flat, { compression: "lzma" }),
      "it is an EFI zboot image whose payload is compressed with",
    ],
  ] as const)("refuses %s", (name, bytes, why) => {
    writeFileSync(hostile.file(name), bytes);
    const { err, status } = aarch64(["-kernel", hostile.file(name)]);
    expect(firstLine(err)).toStartWith(`nitro: -kernel ${hostile.file(name)}: ${why}`);
    expect(status).toBe(1);
  });

  test("aarch64 executable: uses no file of its working directory and no environment variable", () => {
    using directory = new HostileDirectory();
    const plain = aarch64(["-version"]);
    expect(aarch64(["-version"], { cwd: directory.path })).toEqual(plain);
    // A start takes a second here: variables that run a script are tested one by one, the others together.
    const alone = directory.variables.filter(
      ([, value]) => value.includes(directory.script) || value === "1",
    );
    const isFirst = ([name]: readonly [string, string], i: number) =>
      alone.findIndex(([other]) => other === name) === i;
    const dangerous = alone
      .filter(isFirst)
      .filter(([name]) => /OPTIONS|BE_BUN|PRELOAD|functionOverrides/.test(name));
    expect(dangerous.map(([name]) => name)).toContain("BUN_OPTIONS");
    for (const [name, value] of dangerous) {
      expect([name, aarch64(["-version"], { cwd: directory.path, env: { [name]: value } })]).toEqual([
        name,
        plain,
      ]);
    }
    const all = Object.fromEntries(directory.variables.toReversed());
    expect(aarch64(["-version"], { cwd: directory.path, env: all })).toEqual(plain);
    expect([directory.ran, directory.made()]).toEqual([false, []]);
  }, 300_000);
});
