import { describe, expect, test } from "bun:test";
import { encodeJson, type Json } from "../../../src/monitor/json.ts";
import { JsonError } from "../../../src/monitor/qmp/json-parser.ts";
import { JsonStream } from "../../../src/monitor/qmp/json-stream.ts";

/** Returns what the stream delivers for these chunks: values in QEMU's encoding, errors by their message. */
function read(...chunks: string[]): string[] {
  const delivered: string[] = [];
  const stream = new JsonStream((value: Json | JsonError) =>
    delivered.push(value instanceof JsonError ? value.message : encodeJson(value)),
  );
  for (const chunk of chunks) stream.push(new TextEncoder().encode(chunk));
  return delivered;
}

describe("JSON stream: delivers whole values from any chunks", () => {
  test.each([
    [['{"a":1}{"b":[2,{}]}'], ['{"a": 1}', '{"b": [2, {}]}']],
    [['{"a"', ":", '"}"', "}"], ['{"a": "}"}']],
    [["{'single': 'a\\'b'}"], ['{"single": "a\'b"}']],
    [['{"id":12345678901234567890, "d": 1.50}'], ['{"id": 12345678901234567890, "d": 1.5}']],
    [
      [`"${"\\\\".repeat(50)}"`, "1 "],
      [`"${"\\\\".repeat(50)}"`, "1"],
    ],
    [['"é\\u00e9\\n"'], ['"\\u00E9\\u00E9\\n"']],
    [
      ["true ", "null\n"],
      ["true", "null"],
    ],
  ])("JSON stream: %p is delivered whole from any chunks", (chunks, expected) => {
    expect(read(...chunks)).toEqual(expected);
  });
});

test("JSON stream: reports an error with line and column, and continues", () => {
  expect(read('{bad}\n{"a"}\n[1 2]\n%\n"a\n{"x":1}')).toEqual([
    "1:2: JSON parse error, expecting key",
    "2:5: JSON parse error, expecting ':'",
    "3:4: JSON parse error, expected ',' or ']'",
    "4:1: JSON parse error, stray '%'",
    "5:1: JSON parse error, stray '\"a\n'",
    '{"x": 1}',
  ]);
});

test("JSON stream: reports a stray character once and skips the rest of its line", () => {
  expect(read('/* {"x":1} */\n.5\n"a\tb"\n# {}\n{"x":2}')).toEqual([
    "1:1: JSON parse error, stray '/'",
    "2:1: JSON parse error, stray '.'",
    "3:1: JSON parse error, stray '\"a\t'",
    "4:1: JSON parse error, stray '#'",
    '{"x": 2}',
  ]);
});

test("JSON stream: decodes JSON's string escapes and rejects others", () => {
  expect(read('"\\"\\\\\\/\\b\\u0041\\ud83d\\ude00"\n')).toEqual(['"\\"\\\\/\\bA\\uD83D\\uDE00"']);
  expect(read('"\\x"\n"\\u12"\n"\\ud800"\n{"\\q":1}\n"\\u00"')).toEqual([
    "1:1: JSON parse error, invalid escape sequence in string",
    "2:1: JSON parse error, \\u12 is not a valid Unicode character",
    "3:1: JSON parse error, \\ud800 is not a valid Unicode character",
    "4:2: JSON parse error, invalid escape sequence in string",
    "5:1: JSON parse error, \\u00 is not a valid Unicode character",
  ]);
});

test("JSON stream: drops a value that is too long or too deep, and skips its line", () => {
  const long = Array.from({ length: 40 }, () => "x".repeat(10_000));
  expect(read('["', ...long, '"]\n{"x":1}')).toEqual(["JSON token size limit exceeded", '{"x": 1}']);
  expect(read("[".repeat(500), "\n1\n").at(0)).toBe("JSON nesting depth limit exceeded");
});
