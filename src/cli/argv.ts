/**
 * The command line in QEMU's way: `-x` and `--x` are the same, an option that takes an argument takes the next word
 * whatever it looks like, repeats are kept in order, and nothing is skipped in silence.
 */
import { UserError } from "../sys/errors.ts";
import { LAUNCH_OPTIONS, type LaunchOption, type LaunchOptionName, refusalOf } from "./options/table.ts";

/** One option as it stands on the command line. */
export interface Occurrence {
  readonly name: LaunchOptionName;
  /** As it was typed, dashes included: `-M`. */
  readonly dashed: string;
  /** The word after it; "" for a flag. */
  readonly value: string;
  /** How messages name it, where it was written in another way (in a file, or as a property of -machine). */
  readonly typed?: string;
}

/** As much of a value as a message repeats. */
const MOST_TYPED = 100;

/** An occurrence as messages name it: `-m 512M`; a long value is cut. */
export function typedText(occurrence: Occurrence): string {
  const { dashed, value, typed } = occurrence;
  if (typed !== undefined) return cut(typed);
  return value === "" ? dashed : `${dashed} ${cut(value)}`;
}

function cut(text: string): string {
  return text.length > MOST_TYPED ? `${text.slice(0, MOST_TYPED)}…` : text;
}

const HELP = "nitro -help lists the options";

/** Splits the words after the program's name into occurrences. Throws UserError, naming the word as it was typed. */
export function scanArguments(words: readonly string[]): Occurrence[] {
  const found: Occurrence[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (!word.startsWith("-") || word === "-") throw positionalWord(word);
    const name = word.slice(word.startsWith("--") ? 2 : 1);
    const option = findOption(name);
    if (option === undefined) throw unknownOption(word, name);
    if (option.argument === undefined) {
      found.push({ name: option.name, dashed: word, value: "" });
      continue;
    }
    const value = words[i + 1];
    if (value === undefined) {
      throw new UserError(word, "requires an argument", `${word} ${option.argument}`);
    }
    found.push({ name: option.name, dashed: word, value });
    i++;
  }
  return found;
}

function findOption(name: string): LaunchOption | undefined {
  return LAUNCH_OPTIONS.find((option) => option.name === name || option.alias === name);
}

function unknownOption(word: string, name: string): UserError {
  const refusal = refusalOf(name);
  if (refusal !== undefined) return new UserError(word, refusal.why, refusal.hint);
  const equals = name.indexOf("=");
  const option = equals === -1 ? undefined : findOption(name.slice(0, equals));
  if (option !== undefined) {
    return new UserError(
      word,
      "invalid option",
      `the argument stands apart: -${option.name} ${name.slice(equals + 1)}`,
    );
  }
  const near = LAUNCH_OPTIONS.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
  return new UserError(word, "invalid option", near === undefined ? HELP : `did you mean -${near.name}?`);
}

/** Why a word that is no option is refused. @param commands those that it could have been, where it is the first. */
export function positionalWord(word: string, commands: readonly string[] = []): UserError {
  const why = "a word without a dash is a disk image to QEMU, and an enclave has no disks";
  const image = `if it is the image: nitro -kernel ${word || "FILE"}`;
  const known = commands.map((name) => `nitro ${name}`).join(", ");
  const hint = known === "" ? image : `${image}; the commands are ${known}`;
  return new UserError(word === "" ? "''" : word, why, hint);
}
