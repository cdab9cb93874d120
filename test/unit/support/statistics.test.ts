import { expect, test } from "bun:test";
import { median, medianInterval, medianRatio, rounds, summary } from "../../bench/statistics.ts";

test("statistics: the median of an odd and of an even number of values", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, Number.NaN]);
});

test("statistics: a summary has the median, the minimum and the maximum", () => {
  expect(summary([1, 2, 4])).toBe("2.0 (1.0 to 4.0)");
});

test("statistics: ratios are taken round by round", () => {
  expect(medianRatio([10, 20, 60], [10, 10, 20])).toBe(2);
});

test("statistics: the interval of 61 values has the 23rd and the 39th as limits", () => {
  const values = Array.from({ length: 61 }, (_, i) => i + 1).reverse();
  expect(medianInterval(values)).toEqual({ median: 31, low: 23, high: 39 });
});

test("statistics: rounds discard the warm-up and alternate the order", async () => {
  const calls: string[] = [];
  const run = (name: string) => () => calls.push(name);
  const results = await rounds(2, { a: run("a"), b: run("b") });
  expect(calls.join("")).toBe("ababba");
  expect(results).toEqual({ a: [3, 6], b: [4, 5] });
});
