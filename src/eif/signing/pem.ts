/**
 * Finds blocks in PEM as OpenSSL's reader does (PEM_read_bio in crypto/pem/pem_lib.c), which is AWS's: text around
 * blocks, other blocks before one, a UTF-8 byte order mark, and lines of any length are allowed.
 */
import { EifError } from "../format/reader.ts";

/** A decoded block. */
export interface PemBlock {
  readonly label: string;
  /** From its first line to its last, as it was read. */
  readonly text: string;
  readonly bytes: Uint8Array;
  /** The number of bytes after it, not counting blanks. */
  readonly trailing: number;
}

const BOM = "\xef\xbb\xbf";
const BEGIN = "-----BEGIN ";
const END = "-----END ";
const TAIL = "-----";

/** A line with its place; `text` has no blanks at its end, and nothing beyond ASCII, as in OpenSSL (sanitize_line). */
interface Line {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Returns the first block with one of these labels.
 * @param what how messages name the content, with its verb: `the certificate has`. Throws EifError.
 */
export function readPemBlock(bytes: Uint8Array, labels: readonly string[], what: string): PemBlock {
  const latin1 = Buffer.from(bytes).toString("latin1");
  const text = latin1.startsWith(BOM) ? latin1.slice(BOM.length) : latin1;
  const lines = linesOf(text);
  const first = lines.findIndex((line) => labels.includes(labelOf(line) ?? ""));
  const begin = lines[first];
  const label = begin === undefined ? undefined : labelOf(begin);
  const length = lines.slice(first).findIndex((line) => line.text.startsWith(END));
  const end = lines[first + length];
  if (begin === undefined || length === -1 || end?.text !== `${END}${label}${TAIL}`) {
    throw new EifError(`${what} ${otherForm(latin1, lines, labels)}`);
  }
  const body = lines.slice(first + 1, first + length);
  const odd = oddLine(body);
  if (odd !== undefined) throw new EifError(`${what} a PEM block ${odd}`);
  return {
    label: label ?? "",
    text: text.slice(begin.start, end.end),
    bytes: decodeBase64(body, what),
    trailing: text.slice(end.end).trim().length,
  };
}

function linesOf(text: string): Line[] {
  let start = 0;
  return text.split("\n").map((line) => {
    const trimmed = line.replace(/[\0-\x20\x80-\xff]+$/, "");
    const at = start;
    start += line.length + 1;
    return { text: trimmed, start: at, end: at + trimmed.length };
  });
}

function labelOf({ text }: Line): string | undefined {
  const isBegin = text.startsWith(BEGIN) && text.endsWith(TAIL) && text.length >= BEGIN.length + TAIL.length;
  return isBegin ? text.slice(BEGIN.length, -TAIL.length) : undefined;
}

/** What OpenSSL does not accept between the first and last line; an empty line may end an empty header. */
function oddLine(body: readonly Line[]): string | undefined {
  const header = body.find(({ text }) => text.includes(":"));
  if (header !== undefined)
    return `with a header (${header.text.slice(0, 40)}), which certificates do not have`;
  return body.some(({ text }, i) => i > 0 && text === "") ? "with an empty line in its base64" : undefined;
}

function decodeBase64(body: readonly Line[], what: string): Uint8Array {
  try {
    // A hyphen ends the data (EVP_DecodeUpdate in crypto/evp/encode.c).
    const [base64 = ""] = body
      .map(({ text }) => text.replace(/[ \t\r]/g, ""))
      .join("")
      .split("-", 1);
    return Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
  } catch {
    throw new EifError(`${what} a PEM block that is not base64`);
  }
}

/** Names a form that cannot be read; follows `has`. */
function otherForm(latin1: string, lines: readonly Line[], labels: readonly string[]): string {
  const begin = `${BEGIN}${labels[0]}${TAIL}`;
  const missing = `no PEM block from ${begin} to ${END}${labels[0]}${TAIL}`;
  const label = lines.map(labelOf).find((found) => found !== undefined);
  if (/^(\xff\xfe|\xfe\xff)/.test(latin1) || latin1.includes(Array.from(TAIL).join("\0")))
    return `${missing}: it is UTF-16; save it as ASCII or UTF-8`;
  if (/^\x30[\x81-\x84]/.test(latin1)) return `${missing}: it looks like DER`;
  if (/-----\r[^\n]/.test(latin1)) return `${missing}: its lines end with CR alone`;
  if (label !== undefined && !labels.includes(label)) return `${missing}, only one of ${label.slice(0, 40)}`;
  if (label !== undefined) return `${missing}: the last line is missing, or it has another label`;
  if (/^[ \t]+-----BEGIN /m.test(latin1)) return `${missing}: its lines are indented`;
  return missing;
}
