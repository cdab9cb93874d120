import { describe, expect, test } from "bun:test";
import { LineEditor } from "../../../src/monitor/hmp/line-editor.ts";

const COMMANDS = ["info", "info2", "quit"];

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
      return { word, candidates: COMMANDS.filter((candidate) => candidate.startsWith(word)) };
    },
  });
  for (const key of keys) editor.key(key);
  return { lines, output };
}

describe("line editor", () => {
  test.each([
    ["characters in their order", "abc\r", ["abc"]],
    ["inserting after cursor left", "ac\x1b[Db\r", ["abc"]],
    ["Ctrl-A and Ctrl-E for the start and end of the line", "bc\x01a\x05d\n", ["abcd"]],
    ["backspace", "abx\x7fc\r", ["abc"]],
    ["Home and Delete", "xabc\x1b[H\x1b[3~\r", ["abc"]],
    ["Ctrl-W for the word before the cursor", "one two\x17three\r", ["one three"]],
    ["cursor up for the history", "one\rtwo\r\x1b[A\x1b[A\r", ["one", "two", "one"]],
    ["Ctrl-P and Ctrl-N for the history", "one\r\x10\x0e\r", ["one", ""]],
    ["Tab with one candidate, followed by a space", "q\t\r", ["quit "]],
    ["Tab with several candidates, up to their common prefix", "in\t2\r", ["info2"]],
    ["unknown escape sequences, which are ignored", "\x1b[Z\x1bOAabc\r", ["abc"]],
  ])("line editor: %s", (_, keys, lines) => {
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
