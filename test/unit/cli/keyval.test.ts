import { describe, expect, test } from "bun:test";
import { KeyvalError, parseKeyvals } from "../../../src/cli/keyval.ts";

const SYNTAX = { implied: "type" };

/** The last value of each key. */
function values(text: string): Record<string, string> {
  return Object.fromEntries(parseKeyvals(text, SYNTAX).pairs);
}

describe("the grammar", () => {
  test.each([
    ["nitro", { type: "nitro" }],
    ["nitro,", { type: "nitro" }],
    ["type=nitro", { type: "nitro" }],
    ["nitro,a=1,b=2", { type: "nitro", a: "1", b: "2" }],
    ["a=1,nitro=2", { a: "1", nitro: "2" }],
    ["a=1,a=2", { a: "2" }],
    ["nitro,type=other", { type: "other" }],
    ["a=", { a: "" }],
    ["a=,b=1", { a: "", b: "1" }],
    ["a=x=y", { a: "x=y" }],
    ["a=x,,y", { a: "x,y" }],
    ["a=x,,", { a: "x," }],
    ["a=,,", { a: "," }],
    ["a=x,,,b=1", { a: "x,", b: "1" }],
    ["a=,,,,b", { a: ",,b" }],
    ["a=x,,b=1", { a: "x,b=1" }],
    ["my,,name", { type: "my,name" }],
    ["debug-mode=on,enclave-cid=16", { "debug-mode": "on", "enclave-cid": "16" }],
    ["a.b_c-d=1", { "a.b_c-d": "1" }],
    ["a= spaces stay ", { a: " spaces stay " }],
  ])("%s", (text, expected) => {
    expect(values(text)).toEqual(expected);
    expect(parseKeyvals(text, SYNTAX).help).toBe(false);
  });

  test("every pair is kept in its order, repeats included", () => {
    expect(parseKeyvals("nitro,a=1,b=2,a=3,,4", SYNTAX).pairs).toEqual([
      ["type", "nitro"],
      ["a", "1"],
      ["b", "2"],
      ["a", "3,4"],
    ]);
  });

  test("a key may be called as a property of every object is", () => {
    expect(parseKeyvals("toString=1,constructor=3", SYNTAX).pairs).toEqual([
      ["toString", "1"],
      ["constructor", "3"],
    ]);
  });
});

describe("help", () => {
  test.each([
    ["help", {}],
    ["?", {}],
    ["nitro,help", { type: "nitro" }],
    ["nitro,?", { type: "nitro" }],
    ["a=1,help,b=2", { a: "1", b: "2" }],
  ])("is asked for by %s", (text, expected) => {
    expect(parseKeyvals(text, SYNTAX).help).toBe(true);
    expect(values(text)).toEqual(expected);
  });

  test.each(["a=help", "nitro,a=?", "helpful"])("is not asked for by %s", (text) => {
    expect(parseKeyvals(text, SYNTAX).help).toBe(false);
  });
});

describe("what is wrong, in QEMU's words", () => {
  test.each([
    ["", "Invalid parameter ''"],
    [",", "Invalid parameter ''"],
    [",a=1", "Invalid parameter ''"],
    ["=1", "Invalid parameter ''"],
    ["nitro,bogus", "Expected '=' after parameter 'bogus'"],
    ["a=1,b", "Expected '=' after parameter 'b'"],
    ["a=1,=2", "Invalid parameter ''"],
    ["1a=2", "Invalid parameter '1a'"],
    ["a b=2", "Invalid parameter 'a b'"],
    ["-a=2", "Invalid parameter '-a'"],
    ["ä=2", "Invalid parameter 'ä'"],
  ])("%p", (text, message) => {
    expect(() => parseKeyvals(text, SYNTAX)).toThrow(new KeyvalError(message));
  });
});
