/** What a command line asks for. A word without a dash at its head is a subcommand; all else is QEMU's syntax. */
import type { LaunchOptions } from "../launch/options.ts";
import { UserError } from "../sys/errors.ts";
import { type Occurrence, scanArguments } from "./argv.ts";
import { argumentHelp } from "./options/argument-help.ts";
import { launchOptions } from "./options/launch-options.ts";

/** Something to print, a launch, one that more-options.ts reads, or words for citty. */
export type Request =
  | { readonly print: string }
  | { readonly more: readonly Occurrence[] }
  | { readonly topic: "help" | "version" }
  | { readonly launch: LaunchOptions }
  | { readonly subcommand: readonly string[] };

/** Options that few launches have: what reads them is loaded for those alone. */
const MORE: ReadonlySet<Occurrence["name"]> = new Set([
  "object",
  "uuid",
  "daemonize",
  "run-with",
  "sandbox",
  "msg",
  "readconfig",
] as const);

/** Properties that are read by more-options.ts, and "{", for as JSON all are. */
const MORE_PROPERTIES: Partial<Record<Occurrence["name"], readonly string[]>> = {
  machine: ["{", "kernel", "initrd", "append", "memory", "smp", "ramdisk"],
  accel: ["expect-pcr", "measure", "cpu-ids"],
  name: ["process="],
};

/** Whether more-options.ts is needed, or might be: it reads the others as well. */
function asksForMore({ name, value }: Occurrence): boolean {
  if (MORE.has(name)) return true;
  for (const property of MORE_PROPERTIES[name] ?? []) if (value.includes(property)) return true;
  return false;
}

/** What stands for bytes that are not UTF-8, which the runtime does not give. */
const BROKEN = "\ufffd";

function refuseBroken(words: readonly string[]): void {
  const broken = words.find((word) => word.includes(BROKEN));
  if (broken === undefined) return;
  throw new UserError(
    broken,
    "it is not UTF-8, and would be taken for something else",
    "type it in a UTF-8 locale; a file whose name is not UTF-8: ln -s FILE NAME gives it another",
  );
}

/** Reads the words after the program's name. Throws UserError for what is wrong in them. */
export function readCommandLine(words: readonly string[]): Request {
  refuseBroken(words);
  const [first] = words;
  if (first !== undefined && !first.startsWith("-")) return { subcommand: words };
  const occurrences = scanArguments(words);
  // QEMU prints help and version as it meets them; nothing has been done by then.
  for (const occurrence of occurrences) {
    const { name } = occurrence;
    if (name === "help" || name === "version") return { topic: name };
    const help = argumentHelp(occurrence);
    if (help !== undefined) return { print: help };
  }
  for (const occurrence of occurrences) if (asksForMore(occurrence)) return { more: occurrences };
  return { launch: launchOptions(occurrences) };
}
