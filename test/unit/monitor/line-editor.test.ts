import { describe, expect, test } from "bun:test";
import { LineEditor } from "../../../src/monitor/hmp/line-editor.ts";

const WORDS = ["info", "info2", "quit"];

/** Lines that are entered by these keys, and all that is shown. */
function typed(keys: string): { lines: string[]; shown: string } {
  const lines: string[] = [];
  let shown = "";
  const editor = new LineEditor({
    prompt: "> ",
    show: (text) => {
      shown += text;
    },
    enter: (line) => lines.push(line),
    complete(before) {
      const word = before.split(" ").at(-1) ?? "";
      return { word, candidates: WORDS.filter((candidate) => candidate.startsWith(word)) };
    },
  });
  for (const key of keys) editor.key(key);
  return { lines, shown };
}

describe("keys", () => {
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
    expect(typed(keys).lines).toEqual(lines);
  });
});

test("a line is drawn anew after each key, as scripts know it from QEMU", () => {
  expect(typed("ab\r").shown).toBe("a\x1b[K\x1b[Dab\x1b[K\n");
});

test("Ctrl-L clears the screen and keeps the line", () => {
  expect(typed("ab\x0c").shown).toEndWith("\x1b[2J\x1b[1;1H> ab\x1b[K");
});

test("several candidates are listed in columns", () => {
  expect(typed("i\t").shown).toContain("\ninfo   info2  \n> info");
});

test("a line has an end", () => {
  expect(typed(`${"x".repeat(5000)}\r`).lines[0]?.length).toBe(4095);
});
