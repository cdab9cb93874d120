/**
 * The command line in QEMU's way: `-x` and `--x` are the same, an option that takes an argument takes the next word
 * whatever it looks like, repeats are kept in order, and nothing is skipped in silence.
 */
import { UserError } from "../sys/errors.ts";
import { nearest } from "./nearest.ts";
import { refusalOf } from "./options/refused.ts";
import { findOption, LAUNCH_OPTIONS } from "./options/table.ts";

/** One option as it stands on the command line. */
export interface Occurrence {
  readonly name: string;
  /** As it was typed, dashes included: `-M`. */
  readonly dashed: string;
  /** Its argument; "" for a flag. */
  readonly value: string;
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

function unknownOption(word: string, name: string): UserError {
  const refusal = refusalOf(name);
  if (refusal !== undefined) return new UserError(word, refusal.why, refusal.hint);
  const equals = name.indexOf("=");
  const option = equals === -1 ? undefined : findOption(name.slice(0, equals));
  if (option !== undefined) {
    return new UserError(
      word,
      "invalid option",
      `write the argument separately: -${option.name} ${name.slice(equals + 1)}`,
    );
  }
  const names = LAUNCH_OPTIONS.flatMap((each) => [
    each.name,
    ...(each.alias === undefined ? [] : [each.alias]),
  ]);
  const similar = nearest(name, names);
  return new UserError(word, "invalid option", similar === undefined ? HELP : `did you mean -${similar}?`);
}

/** Why a word that is no option is refused. @param commands those that it could have been, where it is the first. */
export function positionalWord(word: string, commands: readonly string[] = []): UserError {
  const why = "a word without a dash is a disk image to QEMU, and an enclave has no disks";
  const image = `if it is the image: nitro -kernel ${word || "FILE"}`;
  const known = commands.map((name) => `nitro ${name}`).join(", ");
  const hint = known === "" ? image : `${image}; the commands are ${known}`;
  return new UserError(word === "" ? "''" : word, why, hint);
}
