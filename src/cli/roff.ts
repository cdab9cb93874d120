/** Converts Markdown to the man(7) macros of roff, as far as the pages of the manual use it. */

/** Escapes text: a backslash begins an escape, `-` is a hyphen, a line with a leading `.` or `'` is a request. */
export function roffText(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

/** Converts a paragraph: code is bold, emphasis italic, a link its text. */
export function roffParagraph(markdown: string): string {
  const spans = markdown.split(/(`[^`]*`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]*\))/);
  return spans
    .map((span, i) => {
      if (i % 2 === 0) return roffText(span);
      if (span.startsWith("`")) return `\\fB${roffText(span.slice(1, -1))}\\fR`;
      if (span.startsWith("**")) return `\\fI${roffText(span.slice(2, -2))}\\fR`;
      return roffText(/^\[([^\]]+)\]/.exec(span)?.[1] ?? "");
    })
    .join("");
}

/** Lines that belong together. */
interface Block {
  readonly kind: "paragraph" | "item" | "table" | "code";
  /** The depth of a list item. */
  readonly depth: number;
  /** The bullet or the number of a list item. */
  readonly tag: string;
  readonly lines: string[];
}

/** Converts a page: `#` is a section, `##` a subsection. */
export function markdownToRoff(markdown: string): string {
  let roff = "";
  let depth = 0;
  const enter = (wanted: number) => {
    for (; depth < wanted; depth++) roff += ".RS 4\n";
    for (; depth > wanted; depth--) roff += ".RE\n";
  };
  for (const block of blocksOf(markdown)) {
    const [first = ""] = block.lines;
    const heading = block.kind === "paragraph" ? /^(#+) (.*)$/.exec(first) : null;
    enter(block.depth);
    if (heading === null) roff += blockText(block);
    else if (heading[1] === "#") roff += `.SH ${roffText((heading[2] ?? "").toUpperCase())}\n`;
    else roff += `.SS ${roffParagraph(heading[2] ?? "")}\n`;
  }
  enter(0);
  return roff;
}

function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  const begin = (kind: Block["kind"], lines: string[], depth = 0, tag = "") => {
    open = { kind, depth, tag, lines };
    blocks.push(open);
  };
  for (const line of markdown.split("\n")) {
    const [, indent = "", tag = "", item] = /^( *)(-|\d+\.) (.*)$/.exec(line) ?? [];
    if (line.startsWith("```")) {
      if (open?.kind === "code") open = undefined;
      else begin("code", []);
    } else if (open?.kind === "code") open.lines.push(line);
    else if (line === "") open = undefined;
    else if (item !== undefined) begin("item", [item], indent === "" ? 0 : 1, tag);
    else if (open === undefined) begin(line.startsWith("|") ? "table" : "paragraph", [line]);
    else open.lines.push(line.trim());
  }
  return blocks;
}

function blockText({ kind, lines, tag }: Block): string {
  const text = lines.join("\n");
  if (kind === "item") {
    const bullet = tag === "-" ? "\\(bu 2" : `${tag} 4`;
    return `.IP ${bullet}\n${roffParagraph(text)}\n`;
  }
  if (kind === "code") return `.PP\n.RS 4\n.EX\n${roffText(text)}\n.EE\n.RE\n`;
  return kind === "table" ? table(lines) : `.PP\n${roffParagraph(text)}\n`;
}

/** Makes definitions of the rows of a table; a row whose first cell is empty continues the one before. */
function table(lines: readonly string[]): string {
  const items: string[][] = [];
  for (const line of lines.slice(2)) {
    const cells = line.split("|").slice(1, -1);
    const [term, ...rest] = cells.map((cell) => cell.trim());
    const previous = items.at(-1);
    if (term !== "" || previous === undefined) items.push([term ?? "", rest.join("; ")]);
    else previous.push(...rest.filter((cell) => cell !== ""));
  }
  return items
    .map(([term = "", ...rest]) => `.TP\n${roffParagraph(term)}\n${roffParagraph(rest.join(" "))}\n`)
    .join("");
}
