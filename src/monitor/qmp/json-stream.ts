/**
 * QMP's input: JSON values one after another, with or without white space between them, however they are cut into
 * pieces. What is wrong is told in QEMU's words, with line and column, and the stream goes on after it. What is held of
 * an unfinished value is bounded.
 */
import type { Json } from "../json.ts";

/** A value may have so many bytes; QMP's longest commands have some hundreds. */
const MOST_BYTES = 64 * 1024;
const MOST_DEPTH = 128;

/** Text that is no JSON; the message is QEMU's. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

type Kind = "structure" | "string" | "word" | "number";

interface Token {
  readonly kind: Kind;
  readonly text: string;
  readonly place: string;
}

const WHITE = /\s/;
const WORD = /[A-Za-z]/;
/** Where a number is (a sign, a zero, digits, a point, a fraction, e, its sign, its digits), and what leads on. */
const NUMBER_STEPS: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  sign: [
    [/0/, "zero"],
    [/[1-9]/, "digits"],
  ],
  zero: [
    [/\./, "point"],
    [/[eE]/, "e"],
  ],
  digits: [
    [/\d/, "digits"],
    [/\./, "point"],
    [/[eE]/, "e"],
  ],
  point: [[/\d/, "fraction"]],
  fraction: [
    [/\d/, "fraction"],
    [/[eE]/, "e"],
  ],
  e: [
    [/[-+]/, "e sign"],
    [/\d/, "exponent"],
  ],
  "e sign": [[/\d/, "exponent"]],
  exponent: [[/\d/, "exponent"]],
};
/** Where it may end. */
const WHOLE_NUMBER: ReadonlySet<string> = new Set(["zero", "digits", "fraction", "exponent"]);
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" },
  ...{ '"': '"', "'": "'", "\\": "\\", "/": "/" },
};

/** Splits input into values. */
export class JsonStream {
  #tokens: Token[] = [];
  #bytes = 0;
  #depth = 0;
  #kind: Kind | undefined;
  #text = "";
  #quote = "";
  #escaped = false;
  #step = "";
  #line = 1;
  #column = 0;
  #place = "";
  #skipping = false;
  readonly #decoder = new TextDecoder();

  /** @param take is given each value, or what is wrong with it. */
  constructor(private readonly take: (value: Json | JsonError) => void) {}

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (this.#skipping) {
      // Too long a value: what is left of its line is not looked at.
      const end = text.indexOf("\n");
      if (end === -1) return;
      this.#skipping = false;
      text = text.slice(end);
    }
    for (const character of text) this.#character(character);
  }

  #character(character: string): void {
    if (character === "\n") {
      this.#line++;
      this.#column = 0;
    } else this.#column++;
    if (this.#skipping) {
      if (character === "\n") this.#skipping = false;
      return;
    }
    if (++this.#bytes > MOST_BYTES) {
      this.#fail("JSON token size limit exceeded");
      this.#skipping = character !== "\n";
      return;
    }
    if (this.#kind === undefined) this.#begin(character);
    else this.#continue(character);
  }

  #begin(character: string): void {
    if (WHITE.test(character)) {
      if (this.#depth === 0) this.#bytes = 0;
      return;
    }
    this.#place = `${this.#line}:${this.#column}`;
    this.#text = character;
    if ("{}[],:".includes(character)) this.#token("structure");
    else if (character === '"' || character === "'") {
      this.#kind = "string";
      this.#escaped = false;
      this.#quote = character;
    } else if (WORD.test(character)) this.#kind = "word";
    else if (/[-0-9]/.test(character)) {
      this.#kind = "number";
      this.#step = character === "-" ? "sign" : character === "0" ? "zero" : "digits";
    } else this.#stray(character);
  }

  #continue(character: string): void {
    if (this.#kind === "string") {
      this.#text += character;
      if (character < " ") return this.#stray(character);
      if (this.#escaped) this.#escaped = false;
      else if (character === "\\") this.#escaped = true;
      else if (character === this.#quote) this.#token("string");
      return;
    }
    if (this.#kind === "number" ? this.#countOn(character) : WORD.test(character)) {
      this.#text += character;
      return;
    }
    if (this.#kind === "number" && (!WHOLE_NUMBER.has(this.#step) || /\d/.test(character))) {
      this.#text += character;
      return this.#stray(character);
    }
    this.#token(this.#kind ?? "word");
    this.#begin(character);
  }

  /** Whether a character belongs to the number. */
  #countOn(character: string): boolean {
    const next = NUMBER_STEPS[this.#step]?.find(([pattern]) => pattern.test(character));
    if (next !== undefined) this.#step = next[1];
    return next !== undefined;
  }

  /** What is no JSON at all: the rest of its line is most likely none either. */
  #stray(character: string): void {
    this.#fail(`JSON parse error, stray '${this.#text.replaceAll("\0", "")}'`, this.#place);
    this.#skipping = character !== "\n";
  }

  #token(kind: Kind): void {
    this.#tokens.push({ kind, text: this.#text, place: this.#place });
    this.#kind = undefined;
    this.#text = "";
    if (kind === "structure") {
      const [token] = this.#tokens.slice(-1);
      if (token?.text === "{" || token?.text === "[") this.#depth++;
      if (token?.text === "}" || token?.text === "]") this.#depth--;
    }
    if (this.#depth > MOST_DEPTH) return this.#fail("JSON nesting depth limit exceeded");
    if (this.#depth <= 0) this.#finish();
  }

  #finish(): void {
    const tokens = this.#tokens;
    this.#reset();
    try {
      this.take(parsed(tokens));
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      this.take(error);
    }
  }

  #fail(message: string, place?: string): void {
    this.#reset();
    this.take(new JsonError(place === undefined ? message : `${place}: ${message}`));
  }

  #reset(): void {
    this.#tokens = [];
    this.#bytes = 0;
    this.#depth = 0;
    this.#kind = undefined;
    this.#text = "";
  }
}

/** The value of a whole value's tokens. Throws JsonError. */
function parsed(tokens: readonly Token[]): Json {
  let at = 0;
  const wrong = (token: Token | undefined, why: string) =>
    new JsonError(`${token?.place ?? tokens.at(-1)?.place}: JSON parse error, ${why}`);
  const value = (): Json => {
    const token = tokens[at++];
    if (token?.kind === "string") return unquoted(token);
    if (token?.kind === "number") return number(token.text);
    if (token?.kind === "word") return keyword(token);
    if (token?.text === "{") return object();
    if (token?.text === "[") return list();
    throw wrong(token, "expecting value");
  };
  const keyword = ({ text, place }: Token): Json => {
    if (text === "true" || text === "false") return text === "true";
    if (text === "null") return null;
    throw new JsonError(`${place}: JSON parse error, invalid keyword '${text}'`);
  };
  const object = (): Json => {
    const members: Record<string, Json> = Object.create(null);
    if (tokens[at]?.text === "}" && tokens[at]?.kind === "structure") at++;
    else {
      for (;;) {
        const key = tokens[at++];
        if (key?.kind !== "string") throw wrong(key, "expecting key");
        const colon = tokens[at++];
        if (colon?.text !== ":") throw wrong(colon, "expecting ':'");
        const item = value();
        const name = unquoted(key);
        if (name in members) throw wrong(tokens[at - 1], "duplicate key");
        members[name] = item;
        const next = tokens[at++];
        if (next?.text === "}") break;
        if (next?.text !== ",") throw wrong(next, "expected ',' or '}'");
      }
    }
    return members;
  };
  const list = (): Json => {
    const items: Json[] = [];
    if (tokens[at]?.text === "]") {
      at++;
      return items;
    }
    for (;;) {
      items.push(value());
      const next = tokens[at++];
      if (next?.text === "]") return items;
      if (next?.text !== ",") throw wrong(next, "expected ',' or ']'");
    }
  };
  return value();
}

function fail(error: JsonError): never {
  throw error;
}

function number(text: string): number | bigint {
  const value = Number(text);
  return /^-?\d+$/.test(text) && !Number.isSafeInteger(value) ? BigInt(text) : value;
}

/** A string without its quotes, which may be single ones. Throws JsonError. */
function unquoted({ text, place }: Token): string {
  const wrong = (why: string) => new JsonError(`${place}: JSON parse error, ${why}`);
  const inner = text.slice(1, -1).replace(/\\(u[^\\]{0,4}|.)/gs, (_, code: string) => {
    if (!code.startsWith("u")) return ESCAPES[code] ?? fail(wrong("invalid escape sequence in string"));
    if (!/^u[0-9a-fA-F]{4}$/.test(code)) throw wrong(`\\${code} is not a valid Unicode character`);
    return String.fromCharCode(Number.parseInt(code.slice(1), 16));
  });
  const [half] = /\p{Surrogate}/u.exec(inner) ?? [];
  if (half !== undefined)
    throw wrong(`\\u${half.charCodeAt(0).toString(16)} is not a valid Unicode character`);
  return inner;
}
