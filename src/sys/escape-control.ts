/** Escaping of control characters in text for a terminal. */

/** Whether a character is a C0 or C1 control character other than the line feed. */
const isControl = (code: number) => (code < 0x20 && code !== 0x0a) || (code >= 0x7f && code < 0xa0);

/** Escapes control characters as `\x1b`. File names, options and console lines are untrusted. */
export function escapeControl(text: string): string {
  return Array.from(text, (char) => {
    const code = char.charCodeAt(0);
    return isControl(code) ? `\\x${code.toString(16).padStart(2, "0")}` : char;
  }).join("");
}
