import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseOnOff, parseSize, parseUint64 } from "../../../src/cli/numbers.ts";

describe("parseUint64", () => {
  test.each([
    ["0", 0n],
    ["16", 16n],
    ["0x10", 16n],
    ["0XfF", 255n],
    ["010", 8n],
    ["00", 0n],
    ["18446744073709551615", 2n ** 64n - 1n],
    ["0xffffffffffffffff", 2n ** 64n - 1n],
  ])("parseUint64: %s", (text, value) => {
    expect(parseUint64(text)).toBe(value);
  });

  test.each([
    "",
    "abc",
    "-1",
    "1.5",
    "1e3",
    "08",
    "0x",
    "1k",
    " 1",
    "1 ",
    "18446744073709551616",
    "1_000",
    "١",
  ])("parseUint64: rejects %p", (text) => {
    expect(parseUint64(text)).toBeUndefined();
  });
});

describe("parseSize", () => {
  const KIB = 1024;
  const MIB = 1024 * KIB;
  const GIB = 1024 * MIB;
  test.each([
    ["512", "M", 512 * MIB],
    ["512", "b", 512],
    ["512M", "b", 512 * MIB],
    ["512m", "M", 512 * MIB],
    ["4k", "M", 4 * KIB],
    ["4K", "M", 4 * KIB],
    ["1G", "M", GIB],
    ["1g", "M", GIB],
    ["1.5G", "M", 1.5 * GIB],
    ["0.5T", "M", 512 * GIB],
    ["1t", "M", 1024 * GIB],
    ["2P", "M", 2 * 1024 ** 5],
    ["134217728b", "M", 128 * MIB],
    ["134217728B", "M", 128 * MIB],
    ["0x200", "M", 512 * MIB],
    ["0x200", "b", 512],
    ["0", "M", 0],
    ["1.", "M", MIB],
    ["0.001953125G", "M", 2 * MIB],
  ] as const)("parseSize: %s in %s", (text, unit, bytes) => {
    expect(parseSize(text, unit)).toBe(bytes);
  });

  test.each([
    "",
    "M",
    "-1",
    "1MM",
    "1MB",
    "1.5.5",
    ".5G",
    "1 G",
    "12x",
    "0x",
    "0x10M",
    "8P9",
    "8E",
    "16P",
    "1e3",
    "NaN",
  ])("parseSize: rejects %p", (text) => {
    expect(parseSize(text, "M")).toBeUndefined();
  });
});

describe("parseOnOff", () => {
  test.each(["on", "yes", "true", "y"])("parseOnOff: %s is on", (text) => {
    expect(parseOnOff(text)).toBe(true);
  });
  test.each(["off", "no", "false", "n"])("parseOnOff: %s is off", (text) => {
    expect(parseOnOff(text)).toBe(false);
  });
  test.each(["", "ON", "1", "0", "maybe", "toString"])("parseOnOff: rejects %p", (text) => {
    expect(parseOnOff(text)).toBeUndefined();
  });
});

describe("round trips", () => {
  test("round trip: a whole number is the same after it is written in decimal, hexadecimal or octal", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        expect(parseUint64(value.toString())).toBe(value);
        expect(parseUint64(`0x${value.toString(16)}`)).toBe(value);
        expect(parseUint64(`0${value.toString(8)}`)).toBe(value);
      }),
    );
  });

  test("round trip: a size is the same after it is written in bytes or with a suffix", () => {
    const suffixes = ["", "k", "M", "G", "T"];
    fc.assert(
      fc.property(fc.nat(4095), fc.nat(suffixes.length - 1), fc.boolean(), (number, power, upper) => {
        const suffix = suffixes[power] ?? "";
        const bytes = number * 1024 ** power;
        expect(parseSize(`${number}${upper ? suffix.toUpperCase() : suffix}`, "b")).toBe(bytes);
        expect(parseSize(`${bytes}b`, "M")).toBe(bytes);
      }),
    );
  });
});
