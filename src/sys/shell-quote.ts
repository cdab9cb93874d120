/** Quotes text for hints that a user pastes into a shell. */
import { escapeLine } from "./escape-control.ts";

/**
 * Returns `text` as one argument of a shell command: as it is, in single quotes, or, with control characters, in
 * `$'...'`, which bash, ksh and zsh read.
 */
export function shellQuote(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  const visible = escapeLine(text);
  if (visible === text) return `'${text.replaceAll("'", "'\\''")}'`;
  return `$'${escapeLine(text.replace(/[\\']/g, "\\$&"))}'`;
}
