/**
 * QMP's input framing: splits a byte stream into JSON values, which need no separator between them. After an error the
 * rest of the line is skipped and the stream continues. The size of an unfinished value is limited.
 */
import type { Json } from "../json.ts";
import { JsonLexer, type Token } from "./json-lexer.ts";
import { JsonError, parseJson } from "./json-parser.ts";

/** The longest QMP commands have a few hundred bytes. QEMU's own limits are higher (64 MiB, 1024 levels). */
const MAX_VALUE_BYTES = 64 * 1024;
const MAX_DEPTH = 128;

/** The framing of one connection. */
export class JsonStream {
  #tokens: Token[] = [];
  #bytes = 0;
  #depth = 0;
  #skipsLine = false;
  readonly #decoder = new TextDecoder();
  readonly #lexer = new JsonLexer({
    token: (token) => this.#addToken(token),
    stray: (text, position) => {
      this.#fail(`${position}: JSON parse error, stray '${text.replaceAll("\0", "")}'`);
      this.#skipsLine = !text.endsWith("\n");
    },
  });

  /** @param deliver receives each value, or the error in place of a value. */
  constructor(private readonly deliver: (value: Json | JsonError) => void) {}

  /** Processes the next bytes. */
  push(bytes: Uint8Array): void {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (this.#skipsLine) {
      const end = text.indexOf("\n");
      if (end === -1) return;
      text = text.slice(end);
    }
    for (const character of text) this.#push(character);
  }

  #push(character: string): void {
    this.#lexer.advance(character);
    if (this.#skipsLine) {
      this.#skipsLine = character !== "\n";
      return;
    }
    if (++this.#bytes > MAX_VALUE_BYTES) {
      this.#fail("JSON token size limit exceeded");
      this.#skipsLine = character !== "\n";
      return;
    }
    this.#lexer.push(character);
    if (this.#depth === 0 && this.#lexer.isBetweenTokens) this.#bytes = 0;
  }

  #addToken(token: Token): void {
    this.#tokens.push(token);
    if (token.text === "{" || token.text === "[") this.#depth++;
    if (token.text === "}" || token.text === "]") this.#depth--;
    if (this.#depth > MAX_DEPTH) this.#fail("JSON nesting depth limit exceeded");
    else if (this.#depth <= 0) this.#finishValue();
  }

  #finishValue(): void {
    const tokens = this.#tokens;
    this.#reset();
    let value: Json;
    try {
      value = parseJson(tokens);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return this.deliver(error);
    }
    this.deliver(value);
  }

  #fail(message: string): void {
    this.#reset();
    this.#lexer.reset();
    this.deliver(new JsonError(message));
  }

  #reset(): void {
    this.#tokens = [];
    this.#bytes = 0;
    this.#depth = 0;
  }
}
