/**
 * QEMU's grammar for the argument of an option (util/keyval.c; util/qemu-option.c for short booleans):
 *
 *   list  = [ value of the implied key | pair ] { "," pair }
 *   pair  = key "=" value | key | "no" key
 *   value = any text, with a comma written as ",,"
 *
 * `help` or `?` in place of a pair asks for help. Each option decides what a repeated key means.
 */

/** A key with its value. */
export type Pair = readonly [key: string, value: string];

/** The part of the grammar that each option defines. */
export interface PairSyntax {
  /** The key of a first value that has none: `-M nitro` is `-M type=nitro`. */
  readonly implied?: string;
  /**
   * Whether a key may be written alone: `server` is `server=on`, `nowait` is `wait=off`. So it is for the options that
   * QEMU reads with QemuOpts.
   */
  readonly shortBooleans?: boolean;
  /** Whether a JSON object is accepted too: `-object '{"qom-type":…}'`. */
  readonly json?: boolean;
}

/** A parsed argument. */
export interface Keyvals {
  /** Every pair in its order, repeats included. */
  readonly pairs: readonly Pair[];
  /** Whether help was asked for. */
  readonly help: boolean;
}

/** An argument that does not follow the grammar; the message is QEMU's. */
export class KeyvalError extends Error {
  override readonly name = "KeyvalError";
}

const KEY = /^[A-Za-z][A-Za-z0-9_.-]*$/;

/** Parses an argument. Throws KeyvalError. */
export function parseKeyvals(text: string, syntax: PairSyntax): Keyvals {
  if (syntax.json && text.startsWith("{")) return { pairs: jsonPairs(text), help: false };
  const segments = splitAtCommas(text);
  const isHelp = (segment: string) => segment === "help" || segment === "?";
  const pairs: Pair[] = [];
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] ?? "";
    if (!isHelp(segment)) pairs.push(parsePair(segment, syntax, i === 0));
  }
  return { pairs, help: segments.some(isHelp) };
}

function parsePair(segment: string, { implied, shortBooleans }: PairSyntax, isFirst: boolean): Pair {
  const equals = segment.indexOf("=");
  if (equals !== -1) {
    const key = segment.slice(0, equals);
    if (!KEY.test(key)) throw new KeyvalError(`Invalid parameter '${key}'`);
    return [key, segment.slice(equals + 1)];
  }
  if (segment === "") throw new KeyvalError("Invalid parameter ''");
  if (isFirst && implied !== undefined) return [implied, segment];
  if (!shortBooleans) throw new KeyvalError(`Expected '=' after parameter '${segment}'`);
  if (!KEY.test(segment)) throw new KeyvalError(`Invalid parameter '${segment}'`);
  const negated = segment.startsWith("no") ? segment.slice("no".length) : "";
  return negated === "" ? [segment, "on"] : [negated, "off"];
}

/** A list in JSON stands for repeats of its key; an object in an object for keys with a dot. */
function jsonPairs(text: string): Pair[] {
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (error) {
    throw new KeyvalError(`JSON parse error, ${error instanceof Error ? error.message : String(error)}`);
  }
  return objectPairs(Object(object), "");
}

function objectPairs(object: object, prefix: string): Pair[] {
  return Object.entries(object).flatMap(([name, value]) => {
    const key = `${prefix}${name}`;
    const items: unknown[] = Array.isArray(value) ? value : [value];
    return items.flatMap((item): Pair[] => {
      const isObject = typeof item === "object" && item !== null && !Array.isArray(item);
      const inner = isObject ? objectPairs(item, `${key}.`) : [];
      return inner.length > 0 ? inner : [[key, jsonText(key, item)]];
    });
  });
}

function jsonText(key: string, value: unknown): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new KeyvalError(`Parameter '${key}' expects a text, a number or a boolean`);
}

/** Returns the text of a pair, each comma of the value doubled. */
export function pairText(key: string, value: string): string {
  return `${key}=${value.replaceAll(",", ",,")}`;
}

/** Splits at single commas; a doubled comma is a comma of the value. A comma at the very end adds nothing. */
function splitAtCommas(text: string): string[] {
  const segments: string[] = [];
  let segment = "";
  for (let i = 0; i < text.length; i++) {
    const isDoubled = text[i] === "," && text[i + 1] === ",";
    if (text[i] !== "," || isDoubled) segment += text[i];
    else {
      segments.push(segment);
      segment = "";
    }
    if (isDoubled) i += 1;
  }
  if (segment !== "" || segments.length === 0) segments.push(segment);
  return segments;
}
