import { describe, expect, test } from "bun:test";
import { cpuListText, parseCpuList } from "../../../src/host/cpu/cpu-list.ts";

describe("CPU list", () => {
  test.each([
    ["", []],
    ["0", [0]],
    ["0,4", [0, 4]],
    ["0-1\n", [0, 1]],
    ["8-11,0-3", [0, 1, 2, 3, 8, 9, 10, 11]],
    ["5-7,1,3", [1, 3, 5, 6, 7]],
    ["2-2,2", [2]],
  ])("CPU list: parses %j into %j", (list, numbers) => {
    expect(parseCpuList(list)).toEqual(numbers);
  });

  test.each(["a", "1,", ",1", "1-", "-1", "3-1", "1 2", "1--2", "0x1", "1-2-3", "0-999999", "1234567"])(
    "CPU list: rejects %j",
    (list) => {
      expect(parseCpuList(list)).toBeUndefined();
    },
  );

  test.each([
    [[], ""],
    [[4, 3, 2, 8], "2-4,8"],
    [[1, 1, 3], "1,3"],
    [[0, 1, 4, 5], "0-1,4-5"],
  ])("CPU list: formats %j as %j", (numbers, list) => {
    expect(cpuListText(numbers)).toBe(list);
  });
});
