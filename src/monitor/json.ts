/** JSON values, and their encoding as QEMU's qobject/json-writer.c writes them. */

/** A QMP value. An integer beyond 2^53 is a bigint, so that a client's id is returned unchanged. */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

const INDENT = "    ";

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function escapeCharacter(character: string): string {
  return (
    SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`
  );
}

function encodeString(text: string): string {
  return `"${text.replace(/["\\]|[^\x20-\x7e]/g, escapeCharacter)}"`;
}

/** Encodes a value in ASCII, with a space after each colon and comma. @param pretty one member per line, indented. */
export function encodeJson(value: Json, pretty = false, indent = ""): string {
  if (value === null) return "null";
  if (typeof value === "string") return encodeString(value);
  if (typeof value !== "object") return String(value);
  const inner = indent + INDENT;
  const isArray = Array.isArray(value);
  const members = isArray
    ? value.map((item: Json) => encodeJson(item, pretty, inner))
    : Object.entries(value).map(([key, item]) => `${encodeString(key)}: ${encodeJson(item, pretty, inner)}`);
  const [open, close] = isArray ? ["[", "]"] : ["{", "}"];
  if (!pretty) return `${open}${members.join(", ")}${close}`;
  // QEMU writes a line feed after an opening bracket even if the array or object is empty.
  const lines = members.map((member) => inner + member).join(",\n");
  return `${open}\n${lines}${members.length === 0 ? "" : "\n"}${indent}${close}`;
}
