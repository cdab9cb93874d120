/** The prose of a TypeScript file (comments, strings, template text), for checks of language; code is left out. */

/** A piece of prose, with the number of its first line. */
export interface Prose {
  readonly line: number;
  readonly text: string;
}

/** After one of these a slash starts a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+]|=>|\breturn|\bcase)\s*$/;

/** Returns comments and string contents of TypeScript source, in their order. */
export function proseOf(source: string): Prose[] {
  const found: Prose[] = [];
  const add = (from: number, to: number) => {
    const line = source.slice(0, from).split("\n").length;
    if (to > from) found.push({ line, text: source.slice(from, to) });
  };
  scanCode(source, 0, undefined, add);
  return found;
}

/** Scans code from `at` to `end` (a closing brace of a template), or to the end of the source; returns where it stopped. */
function scanCode(
  source: string,
  start: number,
  end: "}" | undefined,
  add: (from: number, to: number) => void,
): number {
  let depth = 0;
  let at = start;
  while (at < source.length) {
    const char = source[at];
    const two = source.slice(at, at + 2);
    if (two === "//") at = upTo(source, at, "\n", add);
    else if (two === "/*") at = upTo(source, at, "*/", add);
    else if (char === '"' || char === "'") at = scanQuoted(source, at, char, add);
    else if (char === "`") at = scanTemplate(source, at + 1, add);
    else if (char === "/" && BEFORE_REGEX.test(source.slice(Math.max(0, at - 40), at)))
      at = skipRegex(source, at);
    else if (char === "}" && end !== undefined && depth === 0) return at + 1;
    else {
      if (char === "{") depth += 1;
      if (char === "}") depth -= 1;
      at += 1;
    }
  }
  return at;
}

function upTo(source: string, from: number, mark: string, add: (from: number, to: number) => void): number {
  const found = source.indexOf(mark, from);
  const end = found === -1 ? source.length : found;
  add(from, end);
  return end + mark.length;
}

function scanQuoted(
  source: string,
  from: number,
  quote: string,
  add: (from: number, to: number) => void,
): number {
  let at = from + 1;
  while (at < source.length && source[at] !== quote && source[at] !== "\n") at += source[at] === "\\" ? 2 : 1;
  add(from + 1, at);
  return at + 1;
}

function scanTemplate(source: string, from: number, add: (from: number, to: number) => void): number {
  let [begin, at] = [from, from];
  while (at < source.length && source[at] !== "`") {
    if (source.startsWith("${", at)) {
      add(begin, at);
      at = scanCode(source, at + 2, "}", add);
      begin = at;
    } else at += source[at] === "\\" ? 2 : 1;
  }
  add(begin, at);
  return at + 1;
}

function skipRegex(source: string, from: number): number {
  let at = from + 1;
  let inClass = false;
  while (at < source.length && source[at] !== "\n") {
    if (source[at] === "\\") at += 1;
    else if (source[at] === "[") inClass = true;
    else if (source[at] === "]") inClass = false;
    else if (source[at] === "/" && !inClass) return at + 1;
    at += 1;
  }
  return at;
}
