import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { editDistance, nearest } from "../../../src/cli/nearest.ts";

describe("edit distance", () => {
  test.each([
    ["kernel", "kernel", 0],
    ["kernel", "krenel", 1],
    ["kernel", "kernl", 1],
    ["kernel", "kernels", 1],
    ["kernel", "kermel", 1],
    ["", "smp", 3],
    ["initrd", "kernel", 6],
  ])("edit distance: from %p to %p is %p", (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
  });

  test("edit distance: is symmetric, and 0 for equal texts only", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
      }),
    );
  });
});

describe("nearest name", () => {
  const names = ["kernel", "initrd", "smp", "m", "monitor"];
  test.each([
    ["kernal", "kernel"],
    ["KERNEL", "kernel"],
    ["intird", "initrd"],
    ["smpp", "smp"],
    ["moniter", "monitor"],
    ["nosuch", undefined],
    ["q", undefined],
    ["x".repeat(100), undefined],
  ])("nearest name: %p gives %p", (name, expected) => {
    expect(nearest(name, names)).toBe(expected);
  });
});
