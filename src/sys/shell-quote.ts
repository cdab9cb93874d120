/** Quotes text for hints that a user pastes into a shell. */

/** Returns `text` as one argument of a POSIX shell command. */
export function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
