/** QMP's JSON parser: the tokens of one value in, the value out. Error messages are those of QEMU's json-parser.c. */
import type { Json } from "../json.ts";
import type { Token } from "./json-lexer.ts";

/** Input that is not JSON. The message is QEMU's. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" },
  ...{ '"': '"', "'": "'", "\\": "\\", "/": "/" },
};

/** Parses the tokens of exactly one value. Throws JsonError. */
export function parseJson(tokens: readonly Token[]): Json {
  return new Parser(tokens).value();
}

class Parser {
  #index = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  value(): Json {
    const token = this.#next();
    if (token?.kind === "string") return unquote(token);
    if (token?.kind === "number") return parseNumber(token.text);
    if (token?.kind === "keyword") return parseKeyword(token);
    if (token?.text === "{") return this.#object();
    if (token?.text === "[") return this.#array();
    throw this.#error(token, "expecting value");
  }

  #next(): Token | undefined {
    return this.tokens[this.#index++];
  }

  /** Consumes the next token if it is `text`. */
  #skip(text: string): boolean {
    if (this.tokens[this.#index]?.text !== text) return false;
    this.#index++;
    return true;
  }

  #object(): Json {
    // Without a prototype, a member named __proto__ is a member like any other.
    const members: Record<string, Json> = Object.create(null);
    if (this.#skip("}")) return members;
    for (;;) {
      const key = this.#next();
      if (key?.kind !== "string") throw this.#error(key, "expecting key");
      const colon = this.#next();
      if (colon?.text !== ":") throw this.#error(colon, "expecting ':'");
      const value = this.value();
      const name = unquote(key);
      if (name in members) throw this.#error(this.tokens[this.#index - 1], "duplicate key");
      members[name] = value;
      const separator = this.#next();
      if (separator?.text === "}") return members;
      if (separator?.text !== ",") throw this.#error(separator, "expected ',' or '}'");
    }
  }

  #array(): Json {
    const items: Json[] = [];
    if (this.#skip("]")) return items;
    for (;;) {
      items.push(this.value());
      const separator = this.#next();
      if (separator?.text === "]") return items;
      if (separator?.text !== ",") throw this.#error(separator, "expected ',' or ']'");
    }
  }

  /** Without a token, the input ended too early: the position is that of the last one. */
  #error(token: Token | undefined, why: string): JsonError {
    return parseError(token ?? this.tokens.at(-1), why);
  }
}

function parseError(token: Token | undefined, why: string): JsonError {
  return new JsonError(`${token?.position}: JSON parse error, ${why}`);
}

function parseKeyword(token: Token): Json {
  if (token.text === "true" || token.text === "false") return token.text === "true";
  if (token.text === "null") return null;
  throw parseError(token, `invalid keyword '${token.text}'`);
}

function parseNumber(text: string): number | bigint {
  const value = Number(text);
  return /^-?\d+$/.test(text) && !Number.isSafeInteger(value) ? BigInt(text) : value;
}

/** Removes the quotes and resolves the escapes. Throws JsonError. */
function unquote(token: Token): string {
  const notCharacter = (code: string) => parseError(token, `\\${code} is not a valid Unicode character`);
  const text = token.text.slice(1, -1).replace(/\\(u[^\\]{0,4}|.)/gs, (_, code: string) => {
    if (code.startsWith("u")) {
      if (!/^u[0-9a-fA-F]{4}$/.test(code)) throw notCharacter(code);
      return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    }
    const escaped = ESCAPES[code];
    if (escaped === undefined) throw parseError(token, "invalid escape sequence in string");
    return escaped;
  });
  const [unpaired] = /\p{Surrogate}/u.exec(text) ?? [];
  if (unpaired !== undefined) throw notCharacter(`u${unpaired.charCodeAt(0).toString(16)}`);
  return text;
}
