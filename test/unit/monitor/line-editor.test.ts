import { describe, expect, test } from "bun:test";
import { LineEditor } from "../../../src/monitor/hmp/line-editor.ts";

const WORDS = ["info", "info2", "quit"];

/** Types the keys; returns the submitted lines and everything that was printed. */
function type(keys: string): { lines: string[]; output: string } {
  const lines: string[] = [];
  let output = "";
  const editor = new LineEditor({
    prompt: "> ",
    print: (text) => {
      output += text;
    },
    submit: (line) => lines.push(line),
    complete(text) {
      const word = text.split(" ").at(-1) ?? "";
      return { word, candidates: WORDS.filter((candidate) => candidate.startsWith(word)) };
    },
  });
  for (const key of keys) editor.key(key);
  return { lines, output };
}

describe("line editor: keys submit a line", () => {
  test.each([
    ["abc\r", ["abc"]],
    ["ac\x1b[Db\r", ["abc"]],
    ["bc\x01a\x05d\n", ["abcd"]],
    ["abx\x7fc\r", ["abc"]],
    ["xabc\x1b[H\x1b[3~\r", ["abc"]],
    ["one two\x17three\r", ["one three"]],
    ["one\rtwo\r\x1b[A\x1b[A\r", ["one", "two", "one"]],
    ["one\r\x10\x0e\r", ["one", ""]],
    ["q\t\r", ["quit "]],
    ["in\t2\r", ["info2"]],
    ["\x1b[Z\x1bOAabc\r", ["abc"]],
  ])("%p", (keys, lines) => {
    expect(type(keys).lines).toEqual(lines);
  });
});

test("line editor: redraws the line after each key, as QEMU does", () => {
  expect(type("ab\r").output).toBe("a\x1b[K\x1b[Dab\x1b[K\n");
});

test("line editor: Ctrl-L clears the screen and keeps the line", () => {
  expect(type("ab\x0c").output).toEndWith("\x1b[2J\x1b[1;1H> ab\x1b[K");
});

test("line editor: lists several completions in columns", () => {
  expect(type("i\t").output).toContain("\ninfo   info2  \n> info");
});

test("line editor: limits a line to 4095 characters", () => {
  expect(type(`${"x".repeat(5000)}\r`).lines[0]?.length).toBe(4095);
});
