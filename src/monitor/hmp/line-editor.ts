/**
 * A line as it is typed: keys in, text for the terminal out, with history and completion. After each key the line is
 * drawn anew from its beginning, as QEMU does it, so that scripts that know QEMU's echo know this one.
 */

const MOST_CHARACTERS = 4095;
const MOST_HISTORY = 64;
const COLUMNS = 80;

/** What the editor works with. */
export interface EditorActions {
  readonly prompt: string;
  /** Shows text; lines end with a line feed. */
  show(text: string): void;
  /** A line is complete. */
  enter(line: string): void;
  /** What the word before the cursor may become: whole words, of which its own text is the head. */
  complete(before: string): { readonly word: string; readonly candidates: readonly string[] };
}

type Key = (editor: LineEditor) => void;

/** What control characters do. */
const CONTROLS: Readonly<Record<string, Key>> = {
  "\x01": (editor) => editor.move(0),
  "\x04": (editor) => editor.erase(0, 1),
  "\x05": (editor) => editor.move(Number.POSITIVE_INFINITY),
  "\x08": (editor) => editor.erase(1, 0),
  "\x09": (editor) => editor.completeWord(),
  "\x0a": (editor) => editor.accept(),
  "\x0b": (editor) => editor.erase(0, Number.POSITIVE_INFINITY),
  "\x0c": (editor) => editor.clear(),
  "\x0d": (editor) => editor.accept(),
  "\x0e": (editor) => editor.recall(1),
  "\x10": (editor) => editor.recall(-1),
  "\x15": (editor) => editor.erase(Number.POSITIVE_INFINITY, 0),
  "\x17": (editor) => editor.eraseWord(),
  "\x7f": (editor) => editor.erase(1, 0),
};

/** What the keys do that a terminal sends as `ESC [ …` (or `ESC O …`). */
const SEQUENCES: Readonly<Record<string, Key>> = {
  A: (editor) => editor.recall(-1),
  B: (editor) => editor.recall(1),
  C: (editor) => editor.step(1),
  D: (editor) => editor.step(-1),
  F: (editor) => editor.move(Number.POSITIVE_INFINITY),
  H: (editor) => editor.move(0),
  "1~": (editor) => editor.move(0),
  "3~": (editor) => editor.erase(0, 1),
  "4~": (editor) => editor.move(Number.POSITIVE_INFINITY),
};

/** The editor of one terminal. */
export class LineEditor {
  #line = "";
  #cursor = 0;
  #shown = "";
  #shownCursor = 0;
  #escape: string | undefined;
  #history: string[] = [];
  #at: number | undefined;

  constructor(private readonly actions: EditorActions) {}

  /** Takes a key's character. */
  key(character: string): void {
    if (this.#escape !== undefined) return this.#sequence(character);
    if (character === "\x1b") {
      this.#escape = "";
      return;
    }
    const control = CONTROLS[character];
    if (control !== undefined) control(this);
    else if (character >= " " && this.#line.length < MOST_CHARACTERS) {
      this.#line = this.#line.slice(0, this.#cursor) + character + this.#line.slice(this.#cursor);
      this.#cursor++;
    }
    this.#draw();
  }

  /** Shows the prompt and what has been typed. */
  prompt(): void {
    this.actions.show(this.actions.prompt);
    this.#shown = "";
    this.#shownCursor = 0;
    this.#draw();
  }

  /** Forgets what has been typed: another client begins. */
  reset(): void {
    this.#line = "";
    this.#cursor = 0;
    this.#shown = "";
    this.#shownCursor = 0;
    this.#escape = undefined;
    this.#at = undefined;
  }

  #sequence(character: string): void {
    const soFar = `${this.#escape}${character}`;
    this.#escape = soFar;
    if (soFar === "[" || soFar === "O") return;
    const code = soFar.slice(1);
    if (/^[0-9;]+$/.test(code) && code.length < 8) return;
    this.#escape = undefined;
    SEQUENCES[code]?.(this);
    this.#draw();
  }

  clear(): void {
    this.actions.show("\x1b[2J\x1b[1;1H");
    this.prompt();
  }

  move(to: number): void {
    this.#cursor = Math.min(Math.max(to, 0), this.#line.length);
  }

  step(by: number): void {
    this.move(this.#cursor + by);
  }

  erase(before: number, after: number): void {
    const from = Math.max(this.#cursor - before, 0);
    this.#line =
      this.#line.slice(0, from) + this.#line.slice(Math.min(this.#cursor + after, this.#line.length));
    this.#cursor = from;
  }

  eraseWord(): void {
    const [last = ""] = /\S*\s*$/.exec(this.#line.slice(0, this.#cursor)) ?? [];
    this.erase(last.length, 0);
  }

  recall(by: number): void {
    const at = (this.#at ?? this.#history.length) + by;
    if (at < 0 || at > this.#history.length) return;
    this.#at = at === this.#history.length ? undefined : at;
    this.#line = this.#history[at] ?? "";
    this.#cursor = this.#line.length;
  }

  accept(): void {
    const line = this.#line;
    this.actions.show("\n");
    this.reset();
    if (line !== "") {
      this.#history = [...this.#history.filter((old) => old !== line), line].slice(-MOST_HISTORY);
    }
    this.actions.enter(line);
  }

  completeWord(): void {
    const { word, candidates } = this.actions.complete(this.#line.slice(0, this.#cursor));
    const [first] = candidates;
    if (first === undefined) return;
    const only = candidates.length === 1;
    this.#insert((only ? `${first} ` : sharedHead(candidates)).slice(word.length));
    if (only) return;
    this.#draw();
    this.actions.show(`\n${columns(candidates)}`);
    this.prompt();
  }

  #insert(text: string): void {
    if (this.#line.length + text.length > MOST_CHARACTERS) return;
    this.#line = this.#line.slice(0, this.#cursor) + text + this.#line.slice(this.#cursor);
    this.#cursor += text.length;
  }

  #draw(): void {
    if (this.#line === this.#shown && this.#cursor === this.#shownCursor) return;
    let out = "";
    if (this.#line !== this.#shown) {
      out = `${left(this.#shownCursor)}${this.#line}\x1b[K${left(this.#line.length - this.#cursor)}`;
    } else if (this.#cursor < this.#shownCursor) out = left(this.#shownCursor - this.#cursor);
    else out = "\x1b[C".repeat(this.#cursor - this.#shownCursor);
    this.#shown = this.#line;
    this.#shownCursor = this.#cursor;
    this.actions.show(out);
  }
}

function left(by: number): string {
  return "\x1b[D".repeat(by);
}

function sharedHead([first = "", ...others]: readonly string[]): string {
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

/** Words side by side, as many as a line of a terminal takes. */
function columns(words: readonly string[]): string {
  const width = Math.max(...words.map((word) => word.length)) + 2;
  const perLine = Math.max(Math.floor(COLUMNS / width), 1);
  const lines: string[] = [];
  for (let i = 0; i < words.length; i += perLine) {
    lines.push(
      words
        .slice(i, i + perLine)
        .map((word) => word.padEnd(width))
        .join(""),
    );
  }
  return `${lines.join("\n")}\n`;
}
