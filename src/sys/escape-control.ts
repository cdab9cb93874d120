/** Escaping of characters that a terminal acts upon. File names, options and console lines are untrusted. */

/**
 * Whether a character controls the terminal or the direction of text: C0 and C1 controls, line and paragraph
 * separators, and the marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm (UAX #9), which
 * can make a message read as another one.
 */
function isControl(code: number): boolean {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  return (
    code === 0x061c ||
    (code >= 0x200e && code <= 0x200f) ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

function escaped(code: number): string {
  const hex = code.toString(16);
  return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u${hex.padStart(4, "0")}`;
}

/** Escapes what controls a terminal, but for line feeds: `\x1b`, `\u202e`. */
export function escapeControl(text: string): string {
  let result = "";
  for (const char of text) {
    const code = char.charCodeAt(0);
    result += char !== "\n" && isControl(code) ? escaped(code) : char;
  }
  return result;
}

/** Escapes what controls a terminal, line feeds too. */
export function escapeLine(text: string): string {
  return escapeControl(text).replaceAll("\n", "\\x0a");
}
