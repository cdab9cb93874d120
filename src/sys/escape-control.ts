/** Text that cannot drive a terminal. */

/** C0 and C1 control characters, the line feed apart. */
const isControl = (code: number) => (code < 0x20 && code !== 0x0a) || (code >= 0x7f && code < 0xa0);

/** File names, options and an enclave's words are whoever's: their control characters are spelled out, as `\\x1b`. */
export function escapeControl(text: string): string {
  return Array.from(text, (char) => {
    const code = char.charCodeAt(0);
    return isControl(code) ? `\\x${code.toString(16).padStart(2, "0")}` : char;
  }).join("");
}
