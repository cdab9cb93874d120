import { describe, expect, test } from "bun:test";
import { countCpus } from "../../src/host/cpus.ts";

describe("a CPU list", () => {
  test.each([
    ["0", 1],
    ["0,4", 2],
    ["0-1", 2],
    ["0-3,8-11", 8],
    ["1,3,5-7", 5],
    ["2-2", 1],
    ["0-511", 512],
  ])("%s names %d", (list, count) => {
    expect(countCpus(list)).toBe(count);
  });

  test.each([undefined, "", " ", "a", "1,", ",1", "1-", "-1", "3-1", "1 2", "1--2", "0-1\n", "0x1", "1-2-3"])(
    "%p is none",
    (list) => {
      expect(countCpus(list)).toBeUndefined();
    },
  );
});
