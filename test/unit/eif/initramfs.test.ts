/** Warnings about an initramfs; archives by the tests' own writer, compressed by other programs. */
import { describe, expect, test } from "bun:test";
import { cpioWalk } from "../../../src/eif/initramfs/cpio.ts";
import {
  initProgram,
  initramfsWarnings,
  inspectPlain,
  readPlainArchives,
} from "../../../src/eif/initramfs/initramfs.ts";
import { inspectCompressed } from "../../../src/eif/initramfs/ramdisk-stream.ts";
import { compressionAt, unpackedSize } from "../../../src/eif/initramfs/unpacked-size.ts";
import { newcArchive } from "../../support/initrd.ts";
import { viewOf } from "./bytes.ts";

const [DIRECTORY, FILE, PLAIN, LINK] = [0o040755, 0o100755, 0o100644, 0o120777];
const AMPLE = { bytes: 2 ** 40, typed: "-m 1T" };

const joined = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const archive = (...entries: readonly (readonly [path: string, mode: number, size?: number])[]) =>
  newcArchive(
    entries.map(([path, mode, size = 0]) => ({ path, mode, content: new Uint8Array(size).fill(7) })),
  );

/** The warnings of a launch, which reads in chunks of this size, and of nitro eif. */
async function warnings(
  ramdisks: readonly Uint8Array[],
  commandLine = "",
  memory = AMPLE,
  chunkBytes = 4096,
) {
  const init = initProgram(commandLine);
  const size = ramdisks.reduce((sum, { length }) => sum + length, 0);
  const archives = ramdisks.map((bytes) => {
    const view = viewOf(bytes);
    return { view, plain: readPlainArchives(view, init.paths, 1000, chunkBytes) };
  });
  const plain = archives.map((archive) => inspectPlain(archive.view, archive.plain));
  const unpacked = await Promise.all(
    archives.map((archive) =>
      inspectCompressed(archive.view, archive.plain, { program: init.path, maxBytes: 2 ** 28 }),
    ),
  );
  const texts = (inspections: typeof plain) => initramfsWarnings(init, inspections, memory, size);
  return { launch: texts(plain), eif: texts(unpacked) };
}

function through(command: readonly string[], bytes: Uint8Array): Uint8Array {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: bytes });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return new Uint8Array(stdout);
}

const gzip = (bytes: Uint8Array) => Bun.gzipSync(new Uint8Array(bytes));
const zstd = (bytes: Uint8Array) => new Uint8Array(Bun.zstdCompressSync(new Uint8Array(bytes)));

const MISSING =
  "the initramfs has no /init: the kernel will panic, unless one is built into it; " +
  "add it, or name another program with rdinit=PATH in -append";
const NONE = { launch: [], eif: [] };
const good = archive(["bin", DIRECTORY], ["bin/sh", FILE, 70_000], ["init", FILE, 3]);
const bare = archive(["bin", DIRECTORY], ["bin/sh", FILE, 70_000]);

describe("init program", () => {
  test.each([
    ["init", good, ""],
    ["./init", archive([".", DIRECTORY], ["./init", FILE]), ""],
    ["/init", archive(["/init", FILE]), ""],
    ["a link to it", archive(["init", LINK]), ""],
    ["rdinit=", bare, "quiet rdinit=/bin/sh"],
    ["the last rdinit=", bare, "rdinit=/nothing rdinit=//bin//sh"],
    ["below a directory that is a link", archive(["sbin", LINK]), "rdinit=/sbin/init"],
  ])("init program: is found: %s", async (_, bytes, line) => {
    expect(await warnings([bytes], line)).toEqual(NONE);
  });

  test.each([1, 7, 110, 113, 4096])(
    "init program: is found, or not, in chunks of %i bytes",
    async (piece) => {
      expect(await warnings([good], "", AMPLE, piece)).toEqual(NONE);
      expect((await warnings([bare], "", AMPLE, piece)).launch).toEqual([`warning: ${MISSING}`]);
    },
  );

  test("init program: the warning about a missing one suggests an alternative", async () => {
    const { launch, eif } = await warnings([archive(["sbin/init", FILE])]);
    expect(launch).toEqual([
      "warning: the initramfs has no /init: the kernel will panic, unless one is built into it; to start its /sbin/init, " +
        "add rdinit=/sbin/init to -append",
    ]);
    expect(eif).toEqual(launch);
    // init= applies to a root file system on a disk: Linux panics.
    expect((await warnings([archive(["sbin/init", FILE])], "init=/sbin/init")).launch).toEqual(launch);
    expect((await warnings([good], "rdinit=/linuxrc")).launch[0]).toStartWith(
      "warning: the initramfs has no /linuxrc, which rdinit= names: ",
    );
  });

  test("init program: one that is not executable is reported", async () => {
    const { launch } = await warnings([archive(["init", PLAIN])]);
    expect(launch).toEqual([
      "warning: /init in the initramfs is not executable: the kernel will panic; chmod 755 it and pack it again",
    ]);
    expect(await warnings([archive(["init", PLAIN], ["init", FILE])])).toEqual(NONE);
  });

  test("init program: may be in any of several archives and ramdisks", async () => {
    const padding = new Uint8Array(512);
    expect(await warnings([bare, padding, good])).toEqual(NONE);
    expect(await warnings([joined(bare, padding, good)])).toEqual(NONE);
    expect((await warnings([bare, joined(bare, padding)])).launch).toHaveLength(1);
  });

  test("init program: is not reported as missing if not everything could be read", async () => {
    const noise = crypto.getRandomValues(new Uint8Array(5000));
    noise[0] = 0xff;
    const withoutTrailer = bare.subarray(0, -124);
    for (const other of [noise, joined(bare, noise), withoutTrailer, new Uint8Array(2 ** 21)]) {
      expect(await warnings([bare, other])).toEqual(NONE);
    }
    expect(await warnings([])).toEqual(NONE);
    const many = archive(...Array.from({ length: 1001 }, (_, i) => [`f${i}`, FILE] as const));
    expect(await warnings([many])).toEqual(NONE);
  });

  test.each([
    ["gzip", gzip],
    ["zstd", zstd],
    ["zstd, of unknown size", (bytes: Uint8Array) => through(["zstd", "-q"], bytes)],
  ] as const)("init program: is found within %s by nitro eif, but not by a launch", async (_, pack) => {
    const early = archive(["kernel", DIRECTORY], ["kernel/microcode", PLAIN, 600]);
    for (const head of [new Uint8Array(0), early]) {
      expect(await warnings([joined(head, pack(good))])).toEqual(NONE);
      const { launch, eif } = await warnings([joined(head, pack(bare))]);
      expect([launch, eif.length, eif[0]]).toEqual([[], 1, expect.stringContaining(MISSING)]);
      // What follows may contain it.
      expect(await warnings([joined(head, pack(bare), pack(good))])).toEqual(NONE);
      expect(await warnings([joined(head, pack(bare), good)])).toEqual(NONE);
    }
  });

  test.each(["xz", "bzip2"])("init program: is not searched for within %s", async (program) => {
    expect(await warnings([through([program, "-c"], bare)])).toEqual(NONE);
  });
});

describe("truncated ramdisk", () => {
  const large = archive(["init", FILE, 3_000_000], ["bin/noise", FILE, 1]);
  const truncated = (what: string) =>
    `warning: the ramdisk is truncated: its ${what}; the kernel unpacks only part of it; ` +
    "copy it again and compare the checksums";

  test.each([1, 4, 9, 1000])(
    "truncated ramdisk: %i bytes short is reported, and its last bytes are not taken for a size",
    async (cut) => {
      const packed = gzip(joined(archive(["init", FILE]), large)).subarray(0, -cut);
      // These bytes claim 3.7 GB.
      for (const [at, byte] of [0xff, 0xee, 0xdd, 0xdc].entries()) packed[packed.length - 4 + at] = byte;
      const { eif } = await warnings([packed], "", { bytes: 2 ** 26, typed: "-m 64M" });
      expect(eif.length).toBe(1);
      expect(eif[0]).toMatch(/^warning: the ramdisk is (truncated|damaged): its gzip data /);
    },
  );

  test.each([
    ["gzip", gzip, "gzip data ends after "],
    ["zstd", zstd, "zstd data ends after "],
    ["cpio", (bytes: Uint8Array) => bytes, "cpio archive ends within a file"],
  ] as const)(
    "truncated ramdisk: of %s is reported by nitro eif wherever it ends",
    async (name, pack, what) => {
      const packed = pack(large);
      for (const size of [packed.length - 300, packed.length >> 1, 100]) {
        const { launch, eif } = await warnings([packed.subarray(0, size)]);
        expect(eif).toEqual([expect.stringContaining(truncated(what).slice(0, 60))]);
        expect(launch).toEqual(name === "cpio" ? eif : []);
      }
    },
  );

  test("truncated ramdisk: is named by its number if there are several", async () => {
    const { eif } = await warnings([good, gzip(large).subarray(0, 500), good]);
    expect(eif).toEqual([
      expect.stringContaining("warning: ramdisk 2 is truncated: its gzip data ends after "),
    ]);
  });

  test("truncated ramdisk: is not one that is followed by another archive, or that is damaged", async () => {
    const packed = gzip(large);
    for (const more of [good, gzip(good), new Uint8Array(512)])
      expect(await warnings([joined(packed, more)])).toEqual(NONE);
    const damaged = packed.with(packed.length >> 1, (packed[packed.length >> 1] ?? 0) ^ 0xff);
    expect((await warnings([damaged])).eif).toEqual([
      expect.stringContaining("warning: the ramdisk is damaged: its gzip data cannot be unpacked after "),
    ]);
  });

  test("truncated ramdisk: of more than is unpacked has the size that it claims if that fits the rest", async () => {
    const packed = gzip(large);
    const end = { program: "init", maxBytes: 2 ** 20 };
    const inspected = async (bytes: Uint8Array) => {
      const plain = readPlainArchives(viewOf(bytes), ["init"], 1000, 4096);
      return (await inspectCompressed(viewOf(bytes), plain, end)).unpackedBytes;
    };
    expect(await inspected(packed)).toBe(large.length);
    const claims = packed.slice();
    claims.set([0xff, 0xee, 0xdd, 0xdc], packed.length - 4);
    expect(await inspected(claims)).toBeLessThan(large.length + 2 ** 20);
  });
});

describe("unpacked size", () => {
  const large = archive(["init", FILE, 3_000_000]);

  test.each([
    ["plain", (bytes: Uint8Array) => bytes],
    ["gzip", gzip],
    ["zstd", zstd],
    ["xz", (bytes: Uint8Array) => through(["xz", "-c"], bytes)],
    ["xz, in blocks", (bytes: Uint8Array) => through(["xz", "-c", "--block-size=100000"], bytes)],
    ["lzma", (bytes: Uint8Array) => through(["lzma", "-c"], bytes)],
  ] as const)("unpacked size: is read from the headers of %s", async (name, pack) => {
    const packed = pack(large);
    const compression = compressionAt(viewOf(packed), 0);
    const size = compression === undefined ? packed.length : unpackedSize(viewOf(packed), 0, compression);
    // lzma(1) does not know the size of its input if that is a pipe.
    if (name === "lzma") return expect([compression, size]).toEqual(["lzma", undefined]);
    expect(size).toBe(large.length);
    const { launch, eif } = await warnings([packed], "", { bytes: 5_000_000, typed: "-m 5M" });
    expect(launch).toEqual(eif);
    expect(launch.join()).toStartWith(
      `warning: -m 5M is too little memory: the ramdisks unpack to at least ${large.length} bytes, `,
    );
  });

  test("unpacked size: may be half of the memory without root=, and all of it with root=", async () => {
    const packed = gzip(large);
    const memory = (bytes: number) => ({ bytes, typed: "-m" });
    const needed = packed.length + large.length;
    expect((await warnings([packed], "", memory(2 * large.length - 1))).launch).toEqual([
      `warning: -m is too little memory: the ramdisks unpack to at least ${large.length} bytes, and without root= in ` +
        "-append the kernel allows them half of the memory; use -m 6M or more",
    ]);
    expect(await warnings([packed], "", memory(2 * large.length))).toEqual(NONE);
    expect((await warnings([packed], "root=/dev/ram0", memory(needed - 1))).launch).toEqual([
      `warning: -m is too little memory: the ramdisks unpack to at least ${large.length} bytes, in addition to the ` +
        `image's ${packed.length} bytes; use -m 4M or more`,
    ]);
    expect(await warnings([packed], "root=/dev/ram0", memory(needed))).toEqual(NONE);
  });

  test("unpacked size: is unknown if the header has none, or one smaller than the compressed size", () => {
    const packed = gzip(large);
    packed.fill(0, packed.length - 4);
    expect(unpackedSize(viewOf(packed), 0, "gzip")).toBeUndefined();
    for (const method of ["gzip", "zstd", "xz", "lzma", "bzip2", "lz4", "lzo"] as const) {
      for (const length of [0, 3, 13, 40]) {
        expect(unpackedSize(viewOf(new Uint8Array(length).fill(0xff)), 0, method)).toBeOneOf([
          undefined,
          0,
          2 ** 24 - 1,
          2 ** 32 - 1,
        ]);
      }
    }
  });
});

test("initramfs walk: stops after the maximum number of entries, and a long command line does not slow it down", () => {
  const bytes = archive(...Array.from({ length: 50 }, (_, i) => [`f${i}`, FILE] as const));
  const walk = cpioWalk(["init"], 20);
  expect(walk.push(bytes)).toBeLessThan(bytes.length);
  expect([walk.entries, walk.complete]).toEqual([20, false]);
  const init = initProgram(`rdinit=${"/a".repeat(500_000)}`);
  expect(init.paths.length).toBeLessThan(1100);
});
