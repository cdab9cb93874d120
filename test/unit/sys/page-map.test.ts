import { describe, expect, test } from "bun:test";
import { viewOf } from "../../../src/sys/libc.ts";
import { PageMap } from "../../../src/sys/page-map.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const PAGE = 2 ** 21;
const GIANT = 2 ** 30;
const SMALL = 4096;
const START = 0x7f00_0000_0000;

/** A page map that tells `entry` of each page of an address space, and notes what is read. */
function reporting(entry: (address: number) => bigint) {
  const reads: number[] = [];
  const system = fakeLibc({
    open: () => 1000,
    close: () => 0,
    pread: (_fd, address, length, offset) => {
      reads.push(Number(length));
      const entries = new BigUint64Array(
        viewOf(Number(address), Number(length)).buffer,
        0,
        Number(length) / 8,
      );
      for (let i = 0; i < entries.length; i++) entries[i] = entry((Number(offset) / 8 + i) * SMALL);
      return Number(length);
    },
  });
  const map = PageMap.open(system);
  if (map === undefined) throw new Error("no page map");
  return { map, reads };
}

const there = (frame: number) => (1n << 63n) | BigInt(frame);

describe("addresses of pages", () => {
  test.each([1, 15, 16, 17, 200])("%d of 2 MiB are found among the entries of their parts", (pages) => {
    const { map, reads } = reporting((address) => there((address - START) / SMALL + 512));
    const found = map.addresses(START, PAGE, pages);
    expect(found).toEqual(Float64Array.from({ length: pages }, (_, i) => (i + 1) * PAGE));
    expect(reads).toHaveLength(Math.ceil(pages / 16));
    expect(Math.max(...reads)).toBeLessThanOrEqual(64 * 1024);
  });

  test("of 1 GiB are asked for one by one", () => {
    const { map, reads } = reporting((address) => there((address - START) / SMALL + 2 ** 18));
    expect(map.addresses(START, GIANT, 3)).toEqual(Float64Array.of(GIANT, 2 * GIANT, 3 * GIANT));
    expect(reads).toEqual([8, 8, 8]);
  });

  test("beyond 4 GiB and with the flags of an entry are whole", () => {
    const flags = (1n << 63n) | (1n << 61n) | (1n << 55n);
    const { map } = reporting(() => flags | 0x7f_ffff_ffff_fe00n);
    expect(map.addresses(START, PAGE, 1)).toEqual(Float64Array.of(0x7f_ffff_ffff_fe00 * SMALL));
  });

  test.each([
    ["hidden", 1n << 63n],
    ["not there", 0n],
    ["swapped out", (1n << 62n) | 512n],
  ])("are not told where one of them is %s", (_, entry) => {
    const missing = START + 70 * PAGE;
    const { map } = reporting((address) => (address === missing ? entry : there(512)));
    expect(map.addresses(START, PAGE, 70)).toBeDefined();
    expect(map.addresses(START, PAGE, 71)).toBeUndefined();
  });

  test("are not told where the map ends", () => {
    const system = fakeLibc({ open: () => 1000, close: () => 0, pread: () => 0 });
    expect(PageMap.open(system)?.addresses(START, PAGE, 1)).toBeUndefined();
  });
});

test("a map that may not be opened is none", () => {
  expect(PageMap.open(fakeLibc({ open: () => -1, errno: () => 13 }))).toBeUndefined();
});

test("whether frames are told is seen by a page that is there", () => {
  expect(reporting(() => there(7)).map.tellsFrames()).toBe(true);
  expect(reporting(() => 1n << 63n).map.tellsFrames()).toBe(false);
  using own = PageMap.open(openSystem());
  expect(own?.tellsFrames()).toBe(process.getuid?.() === 0);
});
