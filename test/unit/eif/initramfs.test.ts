/** What is told of an initramfs by its bytes; archives by the tests' own writer, compressed by programs of others. */
import { describe, expect, test } from "bun:test";
import { cpioWalk } from "../../../src/eif/initramfs/cpio.ts";
import { findingOf, initramfsWarnings, plainHead, wantedBy } from "../../../src/eif/initramfs/initramfs.ts";
import { lookThrough } from "../../../src/eif/initramfs/ramdisk-stream.ts";
import { compressionAt, unpackedSize } from "../../../src/eif/initramfs/unpacked-size.ts";
import type { Looked } from "../../../src/eif/initramfs/zstd-frame.ts";
import { newcArchive } from "../../support/initrd.ts";

const [FOLDER, FILE, PLAIN, LINK] = [0o040755, 0o100755, 0o100644, 0o120777];
const ROOMY = { bytes: 2 ** 40, typed: "-m 1T" };

function looked(bytes: Uint8Array): Looked {
  return {
    size: bytes.length,
    at: (from, length) => bytes.subarray(Math.max(0, from), Math.max(0, from) + length),
  };
}

const joined = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const archive = (...entries: readonly (readonly [path: string, mode: number, size?: number])[]) =>
  newcArchive(
    entries.map(([path, mode, size = 0]) => ({ path, mode, content: new Uint8Array(size).fill(7) })),
  );

/** As a launch looks, in pieces of this many bytes, and as nitro eif does. */
async function warnings(ramdisks: readonly Uint8Array[], commandLine = "", room = ROOMY, piece = 4096) {
  const wanted = wantedBy(commandLine);
  const heads = ramdisks.map((bytes) => plainHead(looked(bytes), wanted, 1000, piece));
  const size = ramdisks.reduce((sum, { length }) => sum + length, 0);
  const at = (i: number) => looked(ramdisks[i] ?? new Uint8Array(0));
  const outside = heads.map((head, i) => findingOf(at(i), head));
  const inside = await Promise.all(heads.map((head, i) => lookThrough(at(i), head, wanted)));
  const texts = (findings: typeof outside) => initramfsWarnings(wanted, findings, room, size);
  return { launch: texts(outside), eif: texts(inside) };
}

function through(command: readonly string[], bytes: Uint8Array): Uint8Array {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: bytes });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return new Uint8Array(stdout);
}

const gzip = (bytes: Uint8Array) => Bun.gzipSync(new Uint8Array(bytes));
const zstd = (bytes: Uint8Array) => new Uint8Array(Bun.zstdCompressSync(new Uint8Array(bytes)));

const MISSING = "the initramfs has no /init: unless one is built into the kernel, it panics; put it in, or ";
const NONE = { launch: [], eif: [] };
const good = archive(["bin", FOLDER], ["bin/sh", FILE, 70_000], ["init", FILE, 3]);
const bare = archive(["bin", FOLDER], ["bin/sh", FILE, 70_000]);

describe("the program that the kernel starts", () => {
  test.each([
    ["init", good, ""],
    ["./init", archive([".", FOLDER], ["./init", FILE]), ""],
    ["/init", archive(["/init", FILE]), ""],
    ["a link to it", archive(["init", LINK]), ""],
    ["rdinit=", bare, "quiet rdinit=/bin/sh"],
    ["the last rdinit=", bare, "rdinit=/nothing rdinit=//bin//sh"],
    ["below a directory that is a link", archive(["sbin", LINK]), "rdinit=/sbin/init"],
  ])("is there: %s", async (_, bytes, line) => {
    expect(await warnings([bytes], line)).toEqual(NONE);
  });

  test.each([1, 7, 110, 113, 4096])("is looked for in pieces of %i bytes as well", async (piece) => {
    expect(await warnings([good], "", ROOMY, piece)).toEqual(NONE);
    expect((await warnings([bare], "", ROOMY, piece)).launch).toEqual([
      `warning: ${MISSING}name another program on the kernel's command line: rdinit=PATH`,
    ]);
  });

  test("may be missing, and what might be meant is told", async () => {
    const { launch, eif } = await warnings([archive(["sbin/init", FILE])]);
    expect(launch).toEqual([
      "warning: the initramfs has no /init: unless one is built into the kernel, it panics; rdinit=/sbin/init on the " +
        "kernel's command line starts the /sbin/init that it has",
    ]);
    expect(eif).toEqual(launch);
    // init= is for what is started from a disk: Linux panics.
    expect((await warnings([archive(["sbin/init", FILE])], "init=/sbin/init")).launch).toEqual(launch);
    expect((await warnings([good], "rdinit=/linuxrc")).launch[0]).toStartWith(
      "warning: the initramfs has no /linuxrc, which rdinit=/linuxrc names: ",
    );
  });

  test("may be there and not executable", async () => {
    const { launch } = await warnings([archive(["init", PLAIN])]);
    expect(launch).toEqual([
      "warning: /init of the initramfs is not executable: the kernel panics; chmod 755 it and pack it again",
    ]);
    expect(await warnings([archive(["init", PLAIN], ["init", FILE])])).toEqual(NONE);
  });

  test("may be in any of the archives and ramdisks", async () => {
    const padding = new Uint8Array(512);
    expect(await warnings([bare, padding, good])).toEqual(NONE);
    expect(await warnings([joined(bare, padding, good)])).toEqual(NONE);
    expect((await warnings([bare, joined(bare, padding)])).launch).toHaveLength(1);
  });

  test("is not missed where not all could be looked at", async () => {
    const noise = crypto.getRandomValues(new Uint8Array(5000));
    noise[0] = 0xff;
    for (const other of [noise, joined(bare, noise), bare.subarray(0, -130), new Uint8Array(2 ** 21)]) {
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
  ] as const)("is looked for through %s by nitro eif, and not by a launch", async (_, pack) => {
    const early = archive(["kernel", FOLDER], ["kernel/microcode", PLAIN, 600]);
    for (const head of [new Uint8Array(0), early]) {
      expect(await warnings([joined(head, pack(good))])).toEqual(NONE);
      const { launch, eif } = await warnings([joined(head, pack(bare))]);
      expect([launch, eif.length, eif[0]]).toEqual([[], 1, expect.stringContaining(MISSING)]);
      // What follows may have it.
      expect(await warnings([joined(head, pack(bare), pack(good))])).toEqual(NONE);
      expect(await warnings([joined(head, pack(bare).subarray(0, -9))])).toEqual(NONE);
      expect(await warnings([joined(head, pack(bare), good)])).toEqual(NONE);
    }
  });

  test.each(["xz", "bzip2"])("is not looked for through %s", async (program) => {
    expect(await warnings([through([program, "-c"], bare)])).toEqual(NONE);
  });
});

describe("the room that it unpacks to", () => {
  const large = archive(["init", FILE, 3_000_000]);

  test.each([
    ["plain", (bytes: Uint8Array) => bytes],
    ["gzip", gzip],
    ["zstd", zstd],
    ["xz", (bytes: Uint8Array) => through(["xz", "-c"], bytes)],
    ["xz, in blocks", (bytes: Uint8Array) => through(["xz", "-c", "--block-size=100000"], bytes)],
    ["lzma", (bytes: Uint8Array) => through(["lzma", "-c"], bytes)],
  ] as const)("is told by %s", async (name, pack) => {
    const packed = pack(large);
    const compression = compressionAt(looked(packed), 0);
    const size = compression === undefined ? packed.length : unpackedSize(looked(packed), 0, compression);
    // lzma(1) does not know the size of what comes from a pipe.
    if (name === "lzma") return expect([compression, size]).toEqual(["lzma", undefined]);
    expect(size).toBe(large.length);
    const { launch, eif } = await warnings([packed], "", { bytes: 5_000_000, typed: "-m 5M" });
    expect(launch).toEqual(eif);
    expect(launch.join()).toStartWith(
      `warning: -m 5M: the ramdisks unpack to ${large.length} bytes or more, `,
    );
  });

  test("is half of the memory without root=, and all of it with one", async () => {
    const packed = gzip(large);
    const room = (bytes: number) => ({ bytes, typed: "-m" });
    const needed = packed.length + large.length;
    expect((await warnings([packed], "", room(2 * large.length - 1))).launch).toEqual([
      `warning: -m: the ramdisks unpack to ${large.length} bytes or more, and may take half of the memory, unless ` +
        "root= is on the kernel's command line: the kernel will not have the room; use -m 6M or more",
    ]);
    expect(await warnings([packed], "", room(2 * large.length))).toEqual(NONE);
    expect((await warnings([packed], "root=/dev/ram0", room(needed - 1))).launch).toEqual([
      `warning: -m: the ramdisks unpack to ${large.length} bytes or more, beside the image's ${packed.length}: the ` +
        "kernel will not have the room; use -m 4M or more",
    ]);
    expect(await warnings([packed], "root=/dev/ram0", room(needed))).toEqual(NONE);
  });

  test("is not guessed: a size that is less than the packed one, or not told", () => {
    const packed = gzip(large);
    packed.fill(0, packed.length - 4);
    expect(unpackedSize(looked(packed), 0, "gzip")).toBeUndefined();
    for (const method of ["gzip", "zstd", "xz", "lzma", "bzip2", "lz4", "lzo"] as const) {
      for (const length of [0, 3, 13, 40]) {
        expect(unpackedSize(looked(new Uint8Array(length).fill(0xff)), 0, method)).toBeOneOf([
          undefined,
          0,
          2 ** 24 - 1,
          2 ** 32 - 1,
        ]);
      }
    }
  });
});

test("a walk takes as many entries as it is told to, and no command line is too long for it", () => {
  const bytes = archive(...Array.from({ length: 50 }, (_, i) => [`f${i}`, FILE] as const));
  const walk = cpioWalk(["init"], 20);
  expect(walk.push(bytes)).toBeLessThan(bytes.length);
  expect([walk.entries, walk.complete]).toEqual([20, false]);
  const wanted = wantedBy(`rdinit=${"/a".repeat(500_000)}`);
  expect(wanted.paths.length).toBeLessThan(1100);
});
