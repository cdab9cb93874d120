import { describe, expect, test } from "bun:test";
import { rangesBytes, rangesText } from "../../../src/host/memory/huge-pages.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  leastMemory,
  planMemory,
  planPages,
  sizeText,
  tightMemory,
} from "../../../src/launch/plan/memory.ts";
import { mostMemory } from "../../../src/launch/plan/page-shortage.ts";
import { userErrorOf } from "../../support/error-of.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const requested = (value: number, typed: string) => ({ value, typed });

describe("planMemory", () => {
  test.each([
    [1, 128 * MIB],
    [16 * MIB, 128 * MIB],
    [32 * MIB, 128 * MIB],
    [32 * MIB + 1, 130 * MIB],
    [33 * MIB, 132 * MIB],
    [900 * MIB, 3600 * MIB],
    [5 * GIB + 1, 20 * GIB + 2 * MIB],
  ])("planMemory: without -m an image of %d bytes gets %d bytes", (image, bytes) => {
    expect(planMemory(undefined, image)).toEqual({
      bytes,
      typed: `-m ${bytes / MIB}M (the default)`,
    });
  });
});

describe("planMemory with -m", () => {
  test("planMemory: -m is accepted if it is whole huge pages", () => {
    expect(planMemory(requested(512 * MIB, "-m 512M"), 1)).toEqual({
      bytes: 512 * MIB,
      typed: "-m 512M",
    });
  });

  test.each([
    [513 * MIB, "-m 513M", "use -m 512M or -m 514M"],
    [127 * MIB, "-m 127", "use -m 126M or -m 128M"],
    [64 * MIB + 1, "-m 67108865b", "use -m 64M or -m 66M"],
    [65 * MIB, "-m 65", "use -m 64M or -m 66M"],
    [63 * MIB, "-m 63", "use -m 64M"],
    [1, "-m 1b", "use -m 64M"],
    [2 * MIB + 1, "-m 2097153b", "use -m 64M"],
  ])("planMemory: %d bytes are refused; the hint has the nearest sizes", (bytes, typed, hint) => {
    expect(userErrorOf(() => planMemory(requested(bytes, typed), 1))).toEqual({
      what: typed,
      why: `${bytes} bytes are not a multiple of the huge page size (2 MiB)`,
      hint,
    });
  });
});

describe("checkFits", () => {
  const offset = EXPECTED_IMAGE_OFFSET;
  const plan = (mib: number) => ({ bytes: mib * MIB, typed: `-m ${mib}M` });

  test("image offset: 8 MiB is expected", () => {
    expect(offset).toBe(8 * MIB);
  });

  test.each([
    [1, 64],
    [56 * MIB, 64],
    [56 * MIB + 1, 66],
    [100 * MIB, 108],
    [100 * MIB + 1, 110],
  ])("checkFits: an image of %d bytes needs at least %d MiB", (image, mib) => {
    expect(leastMemory(offset, image)).toBe(mib * MIB);
    checkFits(plan(mib), offset, image);
  });

  test("checkFits: an image that does not fit is refused; the hint has the minimum size", () => {
    expect(userErrorOf(() => checkFits(plan(106), offset, 100 * MIB))).toEqual({
      what: "-m 106M",
      why: `the image has ${100 * MIB} bytes and is loaded at offset 8M`,
      hint: "use -m 108M or more (four times the image leaves space to unpack)",
    });
  });

  test("checkFits: an image of any size needs at least 64 MiB, the minimum of an enclave", () => {
    expect(userErrorOf(() => checkFits(plan(62), offset, 1))).toEqual({
      what: "-m 62M",
      why: "an enclave needs at least 64 MiB of memory",
      hint: "use -m 64M or more (four times the image leaves space to unpack)",
    });
  });

  test("checkFits: uses the offset that the driver reports", () => {
    expect(userErrorOf(() => checkFits(plan(128), 64 * MIB, 100 * MIB)).hint).toStartWith(
      "use -m 164M or more",
    );
  });

  test("tightMemory: warns about memory of less than four times the image", () => {
    expect(tightMemory(plan(400), 100 * MIB)).toBeUndefined();
    expect(tightMemory(plan(398), 100 * MIB)).toBe(
      `warning: -m 398M is less than four times the image (${100 * MIB} bytes); ` +
        "if the kernel fails to unpack its ramdisk, use -m 400M",
    );
  });
});

test("sizeText: prints whole MiB or bytes", () => {
  expect([sizeText(0), sizeText(128 * MIB), sizeText(3 * GIB), sizeText(MIB + 1)]).toEqual([
    "0M",
    "128M",
    "3072M",
    "1048577B",
  ]);
});

describe("planPages", () => {
  const ranges = (counts: Record<string, number>) =>
    Object.entries(counts).map(([mib, pages]) => ({ pageBytes: Number(mib) * MIB, pages }));
  /** Largest first; the argument names sizes in MiB. */
  const supply = (counts: Record<string, number>) =>
    ranges(counts).toSorted((a, b) => b.pageBytes - a.pageBytes);
  const plan = (bytes: number, counts: Record<string, number>) => planPages(bytes, supply(counts));

  test.each([
    ["less than 1 GiB has 2 MiB pages", 512, { 1024: 4, 2: 1000 }, { 2: 256 }],
    ["whole GiB have 1 GiB pages", 3072, { 1024: 4, 2: 1000 }, { 1024: 3 }],
    ["the rest has 2 MiB pages", 2054, { 1024: 4, 2: 3 }, { 1024: 2, 2: 3 }],
    ["all free 1 GiB pages are used", 3072, { 1024: 1, 2: 1024 }, { 1024: 1, 2: 1024 }],
    ["no 1 GiB page is free", 3072, { 1024: 0, 2: 1536 }, { 2: 1536 }],
    ["a kernel without 1 GiB pages", 1024, { 2: 512 }, { 2: 512 }],
    ["a 1 GiB page is not used for a part of a GiB", 1536, { 1024: 2, 2: 255 }, undefined],
    ["one page too few", 512, { 1024: 9, 2: 255 }, undefined],
    ["one page too few for the rest", 2050, { 1024: 2, 2: 0 }, undefined],
    ["counters that cannot be read", 1024, { 2: Number.POSITIVE_INFINITY }, { 2: 512 }],
    ["Graviton's 32 MiB pages", 512, { 1024: 1, 32: 16, 2: 0 }, { 32: 16 }],
    ["pages of three sizes", 1090, { 1024: 1, 32: 16, 2: 1 }, { 1024: 1, 32: 2, 2: 1 }],
    ["64 KiB base pages", 17_410, { 16384: 1, 512: 2, 2: 1 }, { 16384: 1, 512: 2, 2: 1 }],
    ["larger pages that do not fit", 512, { 16384: 1, 1024: 1, 32: 15, 2: 16 }, { 32: 15, 2: 16 }],
    ["no supply", 64, {}, undefined],
  ] as const)("planPages: %s", (_, mib, counts, expected) => {
    const planned = plan(mib * MIB, counts);
    expect(planned).toEqual(expected === undefined ? undefined : supply(expected));
    if (planned === undefined) expect(mostMemory(mib * MIB, supply(counts))).toBeLessThan(mib * MIB);
    else expect(rangesBytes(planned)).toBe(mib * MIB);
  });

  /** Tries every possible number of pages of each size, and takes the way with the fewest pages in total. */
  test("planPages: uses the fewest pages of exactly the size, whichever are free", () => {
    let planned = 0;
    for (let mib = 64; mib <= 3000; mib += 194) {
      for (const giants of [0, 1, 2, 5]) {
        for (const larges of [0, 1, 7, 40]) {
          for (const huges of [0, 15, 31, 256, 700, 1500]) {
            const ways = Array.from({ length: giants + 1 }, (_, giant) =>
              Array.from({ length: larges + 1 }, (_, large) => ({
                pages: giant + large,
                rest: (mib - giant * 1024 - large * 32) / 2,
              })),
            ).flat();
            const possible = ways.filter(({ rest }) => rest >= 0 && rest <= huges);
            const ranges = plan(mib * MIB, { 1024: giants, 32: larges, 2: huges });
            expect(ranges === undefined).toBe(possible.length === 0);
            if (ranges === undefined) continue;
            planned += 1;
            const fewest = Math.min(...possible.map(({ pages, rest }) => pages + rest));
            expect(ranges.reduce((sum, { pages }) => sum + pages, 0)).toBe(fewest);
          }
        }
      }
    }
    expect(planned).toBeGreaterThan(100);
  });

  test.each([
    [4096, { 1024: 2, 2: 80 }, 2208],
    [512, { 1024: 2, 2: 80 }, 160],
    [4096, { 1024: 2 }, 2048],
    [4096, { 2: 80 }, 160],
    [130, { 1024: 1, 32: 5, 2: 0 }, 128],
    [4096, {}, 0],
  ])("mostMemory: of %d MiB, the supply %j provides what it can", (mib, counts, most) => {
    expect(mostMemory(mib * MIB, supply(counts))).toBe(most * MIB);
  });

  test("rangesText: prints numbers and sizes of pages", () => {
    expect(rangesText(ranges({ 1024: 1 }))).toBe("1 huge page of 1 GiB");
    expect(rangesText(ranges({ 2: 256 }))).toBe("256 huge pages of 2 MiB");
    expect(rangesText(supply({ 1024: 3, 2: 1 }))).toBe("3 huge pages of 1 GiB and 1 of 2 MiB");
    expect(rangesText(supply({ 16384: 1, 512: 2, 32: 3, 2: 4 }))).toBe(
      "1 huge page of 16 GiB, 2 of 512 MiB, 3 of 32 MiB and 4 of 2 MiB",
    );
    expect(rangesText([])).toBe("no huge pages");
  });
});
