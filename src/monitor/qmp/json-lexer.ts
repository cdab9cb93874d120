/**
 * QMP's JSON lexer: characters in, tokens with their line and column out. It accepts and rejects what QEMU's
 * qobject/json-lexer.c does, single-quoted strings included.
 */

/** What a token is. A keyword may still be misspelled; the parser decides. */
export type TokenKind = "structure" | "string" | "keyword" | "number";

/** A token as it was written, quotes included. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** LINE:COLUMN of the first character. */
  readonly position: string;
}

/** Where the lexer delivers its results. */
export interface LexerEvents {
  token(token: Token): void;
  /** A character that no token can contain; `text` is the unfinished token including that character. */
  stray(text: string, position: string): void;
}

const WHITE_SPACE = /\s/;
const LETTER = /[A-Za-z]/;

/** RFC 8259, section 6, as a state machine: for each state, which character leads to which next state. */
const NUMBER_STATES: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
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
const FINAL_NUMBER_STATES: ReadonlySet<string> = new Set(["zero", "digits", "fraction", "exponent"]);

/** The lexer of one connection. */
export class JsonLexer {
  /** The kind of the unfinished token; undefined between tokens. */
  #kind: TokenKind | undefined;
  #text = "";
  #position = "";
  #quote = "";
  #escaped = false;
  #numberState = "";
  #line = 1;
  #column = 0;

  constructor(private readonly events: LexerEvents) {}

  /** Whether no token is unfinished. */
  get isBetweenTokens(): boolean {
    return this.#kind === undefined;
  }

  /** Drops the unfinished token. */
  reset(): void {
    this.#kind = undefined;
    this.#text = "";
  }

  /** Counts a character in the position. Called for every character, also for those that are skipped. */
  advance(character: string): void {
    if (character === "\n") {
      this.#line++;
      this.#column = 0;
    } else this.#column++;
  }

  /** Adds a character to the unfinished token, or starts a token with it. */
  push(character: string): void {
    if (this.#kind === undefined) this.#startToken(character);
    else if (this.#kind === "string") this.#continueString(character);
    else if (this.#kind === "number") this.#continueNumber(character);
    else this.#continueKeyword(character);
  }

  #startToken(character: string): void {
    if (WHITE_SPACE.test(character)) return;
    this.#position = `${this.#line}:${this.#column}`;
    this.#text = character;
    if ("{}[],:".includes(character)) this.#finishToken("structure");
    else if (character === '"' || character === "'") {
      this.#kind = "string";
      this.#escaped = false;
      this.#quote = character;
    } else if (LETTER.test(character)) this.#kind = "keyword";
    else if (/[-0-9]/.test(character)) {
      this.#kind = "number";
      this.#numberState = character === "-" ? "sign" : character === "0" ? "zero" : "digits";
    } else this.#reportStray();
  }

  #continueString(character: string): void {
    this.#text += character;
    if (character < " ") return this.#reportStray();
    if (this.#escaped) this.#escaped = false;
    else if (character === "\\") this.#escaped = true;
    else if (character === this.#quote) this.#finishToken("string");
  }

  #continueNumber(character: string): void {
    const next = NUMBER_STATES[this.#numberState]?.find(([pattern]) => pattern.test(character));
    if (next !== undefined) {
      this.#numberState = next[1];
      this.#text += character;
      return;
    }
    if (!FINAL_NUMBER_STATES.has(this.#numberState) || /\d/.test(character)) {
      this.#text += character;
      return this.#reportStray();
    }
    this.#finishToken("number");
    this.#startToken(character);
  }

  #continueKeyword(character: string): void {
    if (LETTER.test(character)) {
      this.#text += character;
      return;
    }
    this.#finishToken("keyword");
    this.#startToken(character);
  }

  #finishToken(kind: TokenKind): void {
    const token = { kind, text: this.#text, position: this.#position };
    this.reset();
    this.events.token(token);
  }

  #reportStray(): void {
    const text = this.#text;
    this.reset();
    this.events.stray(text, this.#position);
  }
}
