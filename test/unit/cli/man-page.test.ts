import { describe, expect, test } from "bun:test";
import { describeCommands } from "../../../src/cli/completion/description.ts";
import { manPage } from "../../../src/cli/man-page.ts";
import { LAUNCH_OPTIONS } from "../../../src/cli/options/table.ts";
import { markdownToRoff, roffParagraph } from "../../../src/cli/roff.ts";

const page = await manPage(await describeCommands());

describe("man page", () => {
  test("man page: has every option, command and page of the manual", () => {
    for (const { name } of LAUNCH_OPTIONS) expect(page).toContain(`\\-${name.replaceAll("-", "\\-")}`);
    for (const name of ["check", "pool", "eif build", "eif verify", "help"])
      expect(page).toContain(`.SS nitro ${name}\n`);
    for (const name of ["LAUNCH", "MEMORY", "EXIT\\-STATUS", "GLOSSARY"])
      expect(page).toContain(`\n.SH ${name}\n`);
  });

  test("man page: is formatted by groff without a warning", () => {
    const command = ["groff", "-man", "-Tutf8", "-ww"];
    const { stdout, stderr } = Bun.spawnSync(command, { stdin: Buffer.from(page) });
    expect(stderr.toString()).toBe("");
    expect(stdout.toString()).toContain("debug");
  });
});

describe("Markdown in roff", () => {
  test.each([
    ["a `-m SIZE` of **all**", "a \\fB\\-m SIZE\\fR of \\fIall\\fR"],
    ["[page](image.md), C:\\x", "page, C:\\ex"],
    [".profile\n'quoted'", "\\&.profile\n\\&'quoted'"],
    ["`.ssh`", "\\fB\\&.ssh\\fR"],
  ])("Markdown in roff: %j", (markdown, roff) => {
    expect(roffParagraph(markdown)).toBe(roff);
  });

  test("Markdown in roff: headings, lists, code and tables become macros", () => {
    const markdown = [
      ["# pool", "", "Text", "on two lines.", "", "## At boot", ""],
      ["- one", "  more", "  - inner", "- two", "", "1. first", ""],
      ["```console", "$ nitro", "", ".x", "```", ""],
      ["| status | meaning |", "| --- | --- |", "| 0 | fine |", "| 3 | exited |", "| | early |"],
    ];
    expect(markdownToRoff(markdown.flat().join("\n"))).toBe(
      ".SH POOL\n.PP\nText\non two lines.\n.SS At boot\n" +
        ".IP \\(bu 2\none\nmore\n.RS 4\n.IP \\(bu 2\ninner\n.RE\n.IP \\(bu 2\ntwo\n.IP 1. 4\nfirst\n" +
        ".PP\n.RS 4\n.EX\n$ nitro\n\n\\&.x\n.EE\n.RE\n" +
        ".TP\n0\nfine\n.TP\n3\nexited early\n",
    );
  });
});
