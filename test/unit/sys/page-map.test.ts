import { describe, expect, test } from "bun:test";
import { viewOf } from "../../../src/sys/libc.ts";
import { PageMap } from "../../../src/sys/page-map.ts";
import { openSystem } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const PAGE = 2 ** 21;
const GIGANTIC = 2 ** 30;
const SMALL = 4096;
const START = 0x7f00_0000_0000;

/** A page map with `entry` for each page of an address space; it records the lengths of reads. */
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

const present = (frame: number) => (1n << 63n) | BigInt(frame);

describe("PageMap.addresses", () => {
  test.each([1, 15, 16, 17, 200])("PageMap.addresses: finds %d pages of 2 MiB, 16 per read", (pages) => {
    const { map, reads } = reporting((address) => present((address - START) / SMALL + 512));
    const found = map.addresses(START, PAGE, pages);
    expect(found).toEqual(Float64Array.from({ length: pages }, (_, i) => (i + 1) * PAGE));
    expect(reads).toHaveLength(Math.ceil(pages / 16));
    expect(Math.max(...reads)).toBeLessThanOrEqual(64 * 1024);
  });

  test("PageMap.addresses: reads one entry for each page of 1 GiB", () => {
    const { map, reads } = reporting((address) => present((address - START) / SMALL + 2 ** 18));
    expect(map.addresses(START, GIGANTIC, 3)).toEqual(Float64Array.of(GIGANTIC, 2 * GIGANTIC, 3 * GIGANTIC));
    expect(reads).toEqual([8, 8, 8]);
  });

  test("PageMap.addresses: returns all bits of the address, without the flags of the entry", () => {
    const flags = (1n << 63n) | (1n << 61n) | (1n << 55n);
    const { map } = reporting(() => flags | 0x7f_ffff_ffff_fe00n);
    expect(map.addresses(START, PAGE, 1)).toEqual(Float64Array.of(0x7f_ffff_ffff_fe00 * SMALL));
  });

  test.each([
    ["hidden", 1n << 63n],
    ["not present", 0n],
    ["swapped out", (1n << 62n) | 512n],
  ])("PageMap.addresses: returns undefined if a page is %s", (_, entry) => {
    const missing = START + 70 * PAGE;
    const { map } = reporting((address) => (address === missing ? entry : present(512)));
    expect(map.addresses(START, PAGE, 70)).toBeDefined();
    expect(map.addresses(START, PAGE, 71)).toBeUndefined();
  });

  test("PageMap.addresses: returns undefined at the end of the map", () => {
    const system = fakeLibc({ open: () => 1000, close: () => 0, pread: () => 0 });
    expect(PageMap.open(system)?.addresses(START, PAGE, 1)).toBeUndefined();
  });
});

test("PageMap.open: returns undefined if that is not permitted", () => {
  expect(PageMap.open(fakeLibc({ open: () => -1, errno: () => 13 }))).toBeUndefined();
});

test("showsFrames: is true only if the kernel shows the frame number of a present page", () => {
  expect(reporting(() => present(7)).map.showsFrames()).toBe(true);
  expect(reporting(() => 1n << 63n).map.showsFrames()).toBe(false);
  using own = PageMap.open(openSystem());
  expect(own?.showsFrames()).toBe(process.getuid?.() === 0);
});
