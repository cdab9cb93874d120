/**
 * HMP's line editor: keys in, terminal output out, with history and completion. Like QEMU's util/readline.c it redraws
 * the line from its start after each key, so that scripts written for QEMU's echo work unchanged.
 */

import type { LineCompletion } from "./completion.ts";

/** READLINE_CMD_BUF_SIZE and READLINE_MAX_CMDS of QEMU's include/qemu/readline.h. */
const MAX_LINE_LENGTH = 4095;
const MAX_HISTORY = 64;
const TERMINAL_COLUMNS = 80;

/** What the editor calls. */
export interface EditorActions {
  readonly prompt: string;
  /** Prints text with line feeds as line ends. */
  print(text: string): void;
  /** Runs a complete line. */
  submit(line: string): void;
  /** Returns the completions of the last word before the cursor. */
  complete(text: string): LineCompletion;
}

type Key = (editor: LineEditor) => void;

const START = 0;
const END = Number.POSITIVE_INFINITY;

/** Control characters: Ctrl-A, Ctrl-D, Ctrl-E, … */
const CONTROL_KEYS: Readonly<Record<string, Key>> = {
  "\x01": (editor) => editor.moveTo(START),
  "\x04": (editor) => editor.erase(0, 1),
  "\x05": (editor) => editor.moveTo(END),
  "\x08": (editor) => editor.erase(1, 0),
  "\x09": (editor) => editor.completeWord(),
  "\x0a": (editor) => editor.submit(),
  "\x0b": (editor) => editor.erase(0, END),
  "\x0c": (editor) => editor.clearScreen(),
  "\x0d": (editor) => editor.submit(),
  "\x0e": (editor) => editor.recall(1),
  "\x10": (editor) => editor.recall(-1),
  "\x15": (editor) => editor.erase(END, 0),
  "\x17": (editor) => editor.eraseWord(),
  "\x7f": (editor) => editor.erase(1, 0),
};

/** The keys that a terminal sends as `ESC [ …` or `ESC O …`: arrows, Home, End, Delete. */
const ESCAPE_SEQUENCES: Readonly<Record<string, Key>> = {
  A: (editor) => editor.recall(-1),
  B: (editor) => editor.recall(1),
  C: (editor) => editor.moveBy(1),
  D: (editor) => editor.moveBy(-1),
  F: (editor) => editor.moveTo(END),
  H: (editor) => editor.moveTo(START),
  "1~": (editor) => editor.moveTo(START),
  "3~": (editor) => editor.erase(0, 1),
  "4~": (editor) => editor.moveTo(END),
};
const MAX_SEQUENCE_LENGTH = 8;

/** The line editor of one client. */
export class LineEditor {
  #line = "";
  #cursor = 0;
  /** The line and cursor as the terminal shows them. */
  #drawnLine = "";
  #drawnCursor = 0;
  /** The escape sequence so far, without ESC; undefined outside of one. */
  #sequence: string | undefined;
  #history: string[] = [];
  /** The history entry being edited; undefined for a new line. */
  #historyIndex: number | undefined;

  constructor(private readonly actions: EditorActions) {}

  /** Processes one character of input. */
  key(character: string): void {
    if (this.#sequence !== undefined) return this.#continueSequence(character);
    if (character === "\x1b") {
      this.#sequence = "";
      return;
    }
    const control = CONTROL_KEYS[character];
    if (control !== undefined) control(this);
    else if (character >= " ") this.#insert(character);
    this.#draw();
  }

  /** Prints the prompt and the line. */
  prompt(): void {
    this.actions.print(this.actions.prompt);
    this.#drawnLine = "";
    this.#drawnCursor = 0;
    this.#draw();
  }

  /** Discards the line, for the next client. The history is kept. */
  reset(): void {
    this.#line = "";
    this.#cursor = 0;
    this.#drawnLine = "";
    this.#drawnCursor = 0;
    this.#sequence = undefined;
    this.#historyIndex = undefined;
  }

  #continueSequence(character: string): void {
    const sequence = `${this.#sequence}${character}`;
    this.#sequence = sequence;
    if (sequence === "[" || sequence === "O") return;
    const code = sequence.slice(1);
    if (/^[0-9;]+$/.test(code) && code.length < MAX_SEQUENCE_LENGTH) return;
    this.#sequence = undefined;
    ESCAPE_SEQUENCES[code]?.(this);
    this.#draw();
  }

  clearScreen(): void {
    this.actions.print("\x1b[2J\x1b[1;1H");
    this.prompt();
  }

  moveTo(position: number): void {
    this.#cursor = Math.min(Math.max(position, 0), this.#line.length);
  }

  moveBy(count: number): void {
    this.moveTo(this.#cursor + count);
  }

  /** Erases characters before and after the cursor. */
  erase(before: number, after: number): void {
    const from = Math.max(this.#cursor - before, 0);
    const to = Math.min(this.#cursor + after, this.#line.length);
    this.#line = this.#line.slice(0, from) + this.#line.slice(to);
    this.#cursor = from;
  }

  eraseWord(): void {
    const [word = ""] = /\S*\s*$/.exec(this.#line.slice(0, this.#cursor)) ?? [];
    this.erase(word.length, 0);
  }

  recall(step: number): void {
    const index = (this.#historyIndex ?? this.#history.length) + step;
    if (index < 0 || index > this.#history.length) return;
    this.#historyIndex = index === this.#history.length ? undefined : index;
    this.#line = this.#history[index] ?? "";
    this.#cursor = this.#line.length;
  }

  submit(): void {
    const line = this.#line;
    this.actions.print("\n");
    this.reset();
    if (line !== "") {
      this.#history = [...this.#history.filter((old) => old !== line), line].slice(-MAX_HISTORY);
    }
    this.actions.submit(line);
  }

  completeWord(): void {
    const { word, candidates } = this.actions.complete(this.#line.slice(0, this.#cursor));
    const [first] = candidates;
    if (first === undefined) return;
    const isOnly = candidates.length === 1;
    this.#insert((isOnly ? `${first} ` : commonPrefix(candidates)).slice(word.length));
    if (isOnly) return;
    this.#draw();
    this.actions.print(`\n${formatColumns(candidates)}`);
    this.prompt();
  }

  #insert(text: string): void {
    if (this.#line.length + text.length > MAX_LINE_LENGTH) return;
    this.#line = this.#line.slice(0, this.#cursor) + text + this.#line.slice(this.#cursor);
    this.#cursor += text.length;
  }

  #draw(): void {
    const moved = this.#cursor - this.#drawnCursor;
    if (this.#line !== this.#drawnLine) {
      const back = cursorLeft(this.#line.length - this.#cursor);
      this.actions.print(`${cursorLeft(this.#drawnCursor)}${this.#line}\x1b[K${back}`);
    } else if (moved < 0) this.actions.print(cursorLeft(-moved));
    else if (moved > 0) this.actions.print("\x1b[C".repeat(moved));
    this.#drawnLine = this.#line;
    this.#drawnCursor = this.#cursor;
  }
}

function cursorLeft(count: number): string {
  return "\x1b[D".repeat(count);
}

function commonPrefix([first = "", ...others]: readonly string[]): string {
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}

/** Formats entries in columns of equal width, as many as fit the terminal. */
function formatColumns(entries: readonly string[]): string {
  const width = Math.max(...entries.map((entry) => entry.length)) + 2;
  const perLine = Math.max(Math.floor(TERMINAL_COLUMNS / width), 1);
  const lineCount = Math.ceil(entries.length / perLine);
  const lines = Array.from({ length: lineCount }, (_, i) =>
    entries
      .slice(i * perLine, (i + 1) * perLine)
      .map((entry) => entry.padEnd(width))
      .join(""),
  );
  return `${lines.join("\n")}\n`;
}
