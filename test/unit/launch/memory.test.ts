import { describe, expect, test } from "bun:test";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  leastMemory,
  mostMemory,
  planMemory,
  planPages,
  rangesText,
  sizeText,
  tightMemory,
} from "../../../src/launch/plan/memory.ts";
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
  const giant = (pages: number) => ({ pageBytes: GIB, pages });
  const huge = (pages: number) => ({ pageBytes: 2 * MIB, pages });

  test.each([
    ["less than 1 GiB has 2 MiB pages", 512 * MIB, { giant: 4, huge: 1000 }, undefined, [huge(256)]],
    ["whole GiB have 1 GiB pages", 3 * GIB, { giant: 4, huge: 1000 }, undefined, [giant(3)]],
    ["the rest has 2 MiB pages", 2 * GIB + 6 * MIB, { giant: 4, huge: 3 }, undefined, [giant(2), huge(3)]],
    ["all free 1 GiB pages are used", 3 * GIB, { giant: 1, huge: 1024 }, undefined, [giant(1), huge(1024)]],
    ["no 1 GiB page is free", 3 * GIB, { giant: 0, huge: 1536 }, undefined, [huge(1536)]],
    ["a kernel without 1 GiB pages", GIB, { giant: undefined, huge: 512 }, undefined, [huge(512)]],
    [
      "a 1 GiB page is not used for a part of a GiB",
      (3 * GIB) / 2,
      { giant: 2, huge: 255 },
      undefined,
      undefined,
    ],
    ["one page too few", 512 * MIB, { giant: 9, huge: 255 }, undefined, undefined],
    ["one page too few for the rest", 2 * GIB + 2 * MIB, { giant: 2, huge: 0 }, undefined, undefined],
    ["counters that cannot be read", GIB, { giant: undefined, huge: undefined }, undefined, [huge(512)]],
    ["2 MiB pages are requested", 2 * GIB, { giant: 2, huge: 1024 }, 2 * MIB, [huge(1024)]],
    ["2 MiB pages are requested, too few", 2 * GIB, { giant: 2, huge: 1023 }, 2 * MIB, undefined],
    ["1 GiB pages are requested", 2 * GIB, { giant: 2, huge: 1024 }, GIB, [giant(2)]],
    ["1 GiB pages are requested, too few", 2 * GIB, { giant: 1, huge: 1024 }, GIB, undefined],
    ["1 GiB pages are requested, not counted", GIB, { giant: undefined, huge: undefined }, GIB, [giant(1)]],
  ])("planPages: %s", (_, bytes, supply, pageBytes, expected) => {
    const ranges = planPages(bytes, supply, pageBytes);
    expect(ranges).toEqual(expected);
    if (ranges === undefined) expect(mostMemory(bytes, supply, pageBytes)).toBeLessThan(bytes);
    else expect(ranges.reduce((sum, { pageBytes, pages }) => sum + pageBytes * pages, 0)).toBe(bytes);
  });

  /** Tries every possible number of 1 GiB pages, and takes the one with the fewest pages in total. */
  test("planPages: uses the fewest pages of exactly the size, whichever are free", () => {
    let planned = 0;
    for (let bytes = 64 * MIB; bytes <= 5 * GIB; bytes += 194 * MIB) {
      for (const giants of [0, 1, 2, 5]) {
        for (const huges of [0, 31, 32, 256, 512, 700, 1024, 2560]) {
          const ways = Array.from({ length: giants + 1 }, (_, used) => ({
            used,
            rest: (bytes - used * GIB) / (2 * MIB),
          })).filter(({ rest }) => rest >= 0 && rest <= huges);
          const fewest = Math.min(...ways.map(({ used, rest }) => used + rest));
          const ranges = planPages(bytes, { giant: giants, huge: huges });
          expect(ranges === undefined).toBe(ways.length === 0);
          if (ranges === undefined) continue;
          planned += 1;
          expect(ranges.reduce((sum, { pages }) => sum + pages, 0)).toBe(fewest);
        }
      }
    }
    expect(planned).toBeGreaterThan(100);
  });

  test.each([
    [4 * GIB, { giant: 2, huge: 80 }, undefined, 2 * GIB + 160 * MIB],
    [512 * MIB, { giant: 2, huge: 80 }, undefined, 160 * MIB],
    [4 * GIB, { giant: 2, huge: 80 }, GIB, 2 * GIB],
    [4 * GIB, { giant: 2, huge: 80 }, 2 * MIB, 160 * MIB],
    [4 * GIB, { giant: undefined, huge: undefined }, undefined, 0],
  ])("mostMemory: of %d bytes, the supply %j provides what it can", (bytes, supply, pageBytes, most) => {
    expect(mostMemory(bytes, supply, pageBytes)).toBe(most);
  });

  test("rangesText: prints numbers and sizes of pages", () => {
    expect(rangesText([giant(1)])).toBe("1 huge page of 1 GiB");
    expect(rangesText([huge(256)])).toBe("256 huge pages of 2 MiB");
    expect(rangesText([giant(3), huge(1)])).toBe("3 huge pages of 1 GiB and 1 of 2 MiB");
  });
});
