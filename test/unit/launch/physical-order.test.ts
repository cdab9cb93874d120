import { describe, expect, test } from "bun:test";
import { ascendingOrder, contiguousRuns, countRegions } from "../../../src/launch/memory/physical-order.ts";

const PAGE = 2 ** 21;
const at = (...numbers: number[]) => Float64Array.from(numbers, (number) => number * PAGE);

describe("countRegions", () => {
  test.each([
    ["no pages", [], 0],
    ["one page", [7], 1],
    ["a run", [7, 8, 9], 1],
    ["a gap", [7, 9], 2],
    ["pages in reverse order", [9, 8, 7], 3],
    ["a run at a lower address than the one before it", [7, 8, 3, 4, 9], 3],
    ["the same page twice", [7, 7], 2],
    ["the page at address 0", [0, 1], 1],
  ])("countRegions: counts the regions of %s", (_, pages, expected) => {
    expect(countRegions(at(...pages), PAGE)).toBe(expected);
  });
});

const ascendingIndices = (addresses: Float64Array, pageBytes: number) =>
  ascendingOrder(addresses, pageBytes)?.indices;

describe("ascendingOrder", () => {
  test("ascendingOrder: sorts by physical address", () => {
    expect(ascendingIndices(at(9, 3, 8, 4), PAGE)).toEqual(Uint32Array.of(1, 3, 2, 0));
  });

  test("ascendingOrder: sorts the highest addresses and many pages exactly", () => {
    const last = 2 ** 31 - 1;
    expect(ascendingIndices(at(last, 0, last - 1), PAGE)).toEqual(Uint32Array.of(1, 2, 0));
    const many = Float64Array.from({ length: 2 ** 16 }, (_, i) => (last - i) * PAGE);
    const indices = ascendingIndices(many, PAGE) ?? new Uint32Array();
    expect([indices[0], indices.at(-1)]).toEqual([2 ** 16 - 1, 0]);
  });

  test("ascendingOrder: is undefined for addresses that are not multiples of the page size, and for too many pages", () => {
    expect(ascendingIndices(Float64Array.of(PAGE, 4096), PAGE)).toBeUndefined();
    expect(ascendingIndices(new Float64Array(2 ** 22 + 1), PAGE)).toBeUndefined();
  });

  test("ascendingOrder: has the fewest regions and each page once, for 200 random orders", () => {
    let state = 1;
    const random = (below: number) => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    for (let round = 0; round < 200; round++) {
      const numbers = [...new Set(Array.from({ length: 1 + random(60) }, () => random(90)))];
      const addresses = at(...numbers);
      const perFile = 1 + random(20);
      const runs = contiguousRuns(ascendingIndices(addresses, PAGE) ?? new Uint32Array(), perFile);
      const indices = runs.flatMap(({ first, pages }) => Array.from({ length: pages }, (_, i) => first + i));
      expect(indices.toSorted((a, b) => a - b)).toEqual(numbers.map((_, index) => index));
      for (const { first, pages } of runs) {
        expect(Math.floor(first / perFile)).toBe(Math.floor((first + pages - 1) / perFile));
      }
      const mapped = Float64Array.from(indices, (index) => addresses[index] ?? -1);
      const fewest = numbers.filter((number) => !numbers.includes(number - 1)).length;
      expect(countRegions(mapped, PAGE)).toBe(fewest);
      expect(ascendingOrder(addresses, PAGE)?.regions).toBe(fewest);
    }
  });
});

describe("contiguousRuns", () => {
  test("contiguousRuns: joins consecutive pages and ends each run with its file", () => {
    expect(contiguousRuns(Uint32Array.of(0, 1, 2, 3, 4, 9, 8, 5, 6), 4)).toEqual([
      { first: 0, pages: 4 },
      { first: 4, pages: 1 },
      { first: 9, pages: 1 },
      { first: 8, pages: 1 },
      { first: 5, pages: 2 },
    ]);
  });
});
