import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeyvalError, pairText, parseKeyvals } from "../../../src/cli/keyval.ts";

const SYNTAX = { implied: "type" };

/** The last value of each key. */
function values(text: string): Record<string, string> {
  return Object.fromEntries(parseKeyvals(text, SYNTAX).pairs);
}

describe("key=value grammar", () => {
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
  ])("key=value grammar: %s", (text, expected) => {
    expect(values(text)).toEqual(expected);
    expect(parseKeyvals(text, SYNTAX).help).toBe(false);
  });

  test("key=value grammar: every pair is kept in order, repeats included", () => {
    expect(parseKeyvals("nitro,a=1,b=2,a=3,,4", SYNTAX).pairs).toEqual([
      ["type", "nitro"],
      ["a", "1"],
      ["b", "2"],
      ["a", "3,4"],
    ]);
  });

  test("key=value grammar: a key may have the name of a property of every object", () => {
    expect(parseKeyvals("toString=1,constructor=3", SYNTAX).pairs).toEqual([
      ["toString", "1"],
      ["constructor", "3"],
    ]);
  });
});

describe("list of pairs", () => {
  const key = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,20}$/);
  // A value "help" without a key is a request for help; with a key it is a value.
  const pair = fc.tuple(key, fc.string());

  test("list of pairs: is the same after it is written and parsed", () => {
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
        const text = pairs.map(([name, value]) => pairText(name, value)).join(",");
        expect(parseKeyvals(text, {})).toEqual({ pairs, help: false });
      }),
    );
  });

  test("list of pairs: is the same as JSON", () => {
    fc.assert(
      fc.property(fc.uniqueArray(pair, { minLength: 1, selector: ([name]) => name }), (pairs) => {
        const text = JSON.stringify(Object.fromEntries(pairs));
        const parsed = parseKeyvals(text, { json: true });
        expect(Object.fromEntries(parsed.pairs)).toEqual(Object.fromEntries(pairs));
      }),
    );
  });
});

describe("short booleans", () => {
  const syntax = { implied: "path", shortBooleans: true };
  test.each([
    ["p,server", ["path=p", "server=on"]],
    ["p,server,nowait", ["path=p", "server=on", "wait=off"]],
    ["p,nodelay", ["path=p", "delay=off"]],
    ["p,a.b-c", ["path=p", "a.b-c=on"]],
    ["p,no", ["path=p", "no=on"]],
    ["p,server=off,server", ["path=p", "server=off", "server=on"]],
    // The first word alone is the value of the implied key.
    ["server", ["path=server"]],
    ["noserver", ["path=noserver"]],
  ])("short booleans: %s", (text, pairs) => {
    expect(parseKeyvals(text, syntax).pairs.map(([key, value]) => `${key}=${value}`)).toEqual(pairs);
  });

  test("short booleans: without an implied key, the first word is one too", () => {
    expect(parseKeyvals("timestamp", { shortBooleans: true }).pairs).toEqual([["timestamp", "on"]]);
  });

  test.each([
    ["p,a b", "Invalid parameter 'a b'"],
    ["p,1a", "Invalid parameter '1a'"],
    ["p,", undefined],
    ["p,,", undefined],
    ["p,server,,b", "Invalid parameter 'server,b'"],
  ])("short booleans: %p is %p", (text, message) => {
    const parse = () => parseKeyvals(text, syntax);
    if (message === undefined) expect(parse().pairs.length).toBe(1);
    else expect(parse).toThrow(new KeyvalError(message));
  });

  test("short booleans: help stays a request for help", () => {
    expect(parseKeyvals("p,help", syntax)).toEqual({ pairs: [["path", "p"]], help: true });
    expect(parseKeyvals("help", { shortBooleans: true })).toEqual({ pairs: [], help: true });
  });

  test("short booleans: options with another grammar need a value", () => {
    expect(() => parseKeyvals("p,bogus", { implied: "path" })).toThrow(
      "Expected '=' after parameter 'bogus'",
    );
  });
});

describe("JSON", () => {
  const syntax = { json: true };
  test("JSON argument: booleans are on and off, and a list repeats its key", () => {
    expect(parseKeyvals('{"a":true,"b":false,"c":[1,2],"d":"x,y"}', syntax).pairs).toEqual([
      ["a", "on"],
      ["b", "off"],
      ["c", "1"],
      ["c", "2"],
      ["d", "x,y"],
    ]);
  });

  test("JSON argument: an object in an object has keys with a dot", () => {
    expect(parseKeyvals('{"a":{"b":true,"c":{"d":1}},"e":[{"f":2}]}', syntax).pairs).toEqual([
      ["a.b", "on"],
      ["a.c.d", "1"],
      ["e.f", "2"],
    ]);
  });

  test.each(["{", '{"a":{}}', '{"a":null}', '{"a":{"b":null}}', '{"a":[[1]]}'])(
    "JSON argument: %s is refused",
    (text) => {
      expect(() => parseKeyvals(text, syntax)).toThrow(KeyvalError);
    },
  );
});

describe("help", () => {
  test.each([
    ["help", {}],
    ["?", {}],
    ["nitro,help", { type: "nitro" }],
    ["nitro,?", { type: "nitro" }],
    ["a=1,help,b=2", { a: "1", b: "2" }],
  ])("help: %s requests it", (text, expected) => {
    expect(parseKeyvals(text, SYNTAX).help).toBe(true);
    expect(values(text)).toEqual(expected);
  });

  test.each(["a=help", "nitro,a=?", "helpful"])("help: %s does not request it", (text) => {
    expect(parseKeyvals(text, SYNTAX).help).toBe(false);
  });
});

describe("errors", () => {
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
  ])("QEMU's error: %p", (text, message) => {
    expect(() => parseKeyvals(text, SYNTAX)).toThrow(new KeyvalError(message));
  });
});
