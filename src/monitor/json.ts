/** JSON as QEMU writes it: a blank after colons and commas, ASCII only, indented by four blanks where it is pretty. */

/** A value of QMP's. Whole numbers beyond 2^53 are bigints, so that an id comes back as it was. */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function escaped(character: string): string {
  return (
    SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
  );
}

/** A string in quotes; every character outside of ASCII is escaped. */
export function encodeString(text: string): string {
  return `"${text.replace(/["\\]|[^\x20-\x7e]/g, escaped)}"`;
}

/** The text of a value. */
export function encodeJson(value: Json, pretty = false, indent = ""): string {
  if (value === null) return "null";
  if (typeof value === "string") return encodeString(value);
  if (typeof value !== "object") return String(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((item: Json) => encodeJson(item, pretty, inner))
    : Object.entries(value).map(([key, item]) => `${encodeString(key)}: ${encodeJson(item, pretty, inner)}`);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (!pretty) return `${open}${parts.join(", ")}${close}`;
  // QEMU ends the line after an opening bracket even where nothing follows.
  const lines = parts.map((part) => inner + part).join(",\n");
  return `${open}\n${lines}${parts.length === 0 ? "" : "\n"}${indent}${close}`;
}
