/** Breaks help texts for a terminal. */

/** Columns that all help fits. */
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
