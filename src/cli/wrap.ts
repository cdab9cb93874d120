/** Lays out help texts for a terminal. */

/** The columns that all help fits. */
const HELP_COLUMNS = 80;

/**
 * Breaks `text` at spaces into lines of at most 80 columns.
 * @param head the beginning of the first line. @param indent the column where the further lines begin.
 */
export function wrapText(head: string, text: string, indent: number): string {
  const lines: string[] = [];
  let line = head;
  for (const word of text.split(" ").filter((each) => each !== "")) {
    if (line.length + 1 + word.length > HELP_COLUMNS && line !== head) {
      lines.push(line);
      line = " ".repeat(indent - 1);
    }
    line += ` ${word}`;
  }
  return `${[...lines, line].join("\n")}\n`;
}

/**
 * Lays out a term with its explanation, which begins in column `indent`: on the term's line if the term leaves two
 * spaces, else on the next one.
 */
export function definitionRow(term: string, text: string, indent: number): string {
  const fits = term.length <= indent - 2;
  const head = fits ? term.padEnd(indent - 1) : " ".repeat(indent - 1);
  return `${fits ? "" : `${term}\n`}${wrapText(head, text, indent)}`;
}

/** Lays out a paragraph from the first column. */
export function paragraph(text: string): string {
  return wrapText("", text, 1).replace(/^ /gm, "");
}
