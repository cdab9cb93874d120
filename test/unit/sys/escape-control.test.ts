import { describe, expect, test } from "bun:test";
import { escapeControl, escapeLine } from "../../../src/sys/escape-control.ts";
import { shellQuote } from "../../../src/sys/shell-quote.ts";

describe("escapeControl", () => {
  test.each([
    ["plain text, ünï ✓ 😀", "plain text, ünï ✓ 😀"],
    ["a\x1b[31mb", "a\\x1b[31mb"],
    ["a\x7f\x9bb\0", "a\\x7f\\x9bb\\x00"],
    ["a\u202eb\u2066c\u200f", "a\\u202eb\\u2066c\\u200f"],
    ["a\u2028b\u061c", "a\\u2028b\\u061c"],
    ["two\nlines", "two\nlines"],
  ])("escapes what a terminal acts upon in %j", (text, expected) => {
    expect(escapeControl(text)).toBe(expected);
  });

  test("escapeLine escapes line feeds too", () => {
    expect(escapeLine("two\nlines\r")).toBe("two\\x0alines\\x0d");
  });
});

describe("shellQuote", () => {
  const texts = [
    "plain",
    "",
    "a b",
    "a;id>x;.eif",
    "it's",
    "$(id)",
    "`id`",
    "-x",
    "a\nb",
    "\x1b'\\",
    "a\u202eb",
    "ü",
  ];

  test.each(texts.map((text) => [text]))(
    "%j is one argument for bash, and prints no control character",
    (text) => {
      const quoted = shellQuote(text);
      expect(escapeLine(quoted)).toBe(quoted);
      const shell = Bun.spawnSync(["bash", "-c", `printf %s ${quoted}`], {
        env: { ...process.env, LC_ALL: "C.UTF-8" },
      });
      expect(shell.stdout.toString()).toBe(text);
    },
  );
});
