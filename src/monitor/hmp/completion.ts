/** Tab completion of an HMP line: command names, device labels, QOM paths and properties. */
import { listProperties, resolvePath } from "../commands/qom-path.ts";
import { qomTree } from "../commands/qom-tree.ts";
import { COMMANDS } from "../commands/table.ts";
import type { MachineView } from "../machine-view.ts";
import { INFO_PREFIX } from "./help.ts";

/** The argument before the cursor, and its candidates for completion. */
export interface LineCompletion {
  readonly word: string;
  readonly candidates: readonly string[];
}

/** Returns the completions of the last word. @param text the line up to the cursor. */
export function complete(machine: MachineView, text: string): LineCompletion {
  const words = text.trimStart().split(/\s+/);
  const word = words.at(-1) ?? "";
  return { word, candidates: namesFor(machine, words).filter((name) => name.startsWith(word)) };
}

function namesFor(machine: MachineView, words: readonly string[]): readonly string[] {
  const [command = "", argument = ""] = words;
  if (words.length === 1) return commandNames();
  if (words.length === 2 && command === "help") return commandNames();
  if (words.length === 2 && command === "info") return infoNames();
  if (words.length === 2 && command.startsWith("chardev-"))
    return machine.chardevs.list().map(({ label }) => label);
  if (command.startsWith("qom-")) return qomNames(machine, words.length, argument, words.at(-1) ?? "");
  return [];
}

function hmpNames(): readonly string[] {
  return COMMANDS.flatMap(({ hmp = [] }) => hmp);
}

function commandNames(): string[] {
  return [...hmpNames().filter((name) => !name.startsWith(INFO_PREFIX)), "info"].sort();
}

function infoNames(): string[] {
  return hmpNames()
    .filter((name) => name.startsWith(INFO_PREFIX))
    .map((name) => name.slice(INFO_PREFIX.length))
    .sort();
}

/** The third word is a property of the object that the second one names; before it, the children of a path. */
function qomNames(machine: MachineView, wordCount: number, path: string, word: string): readonly string[] {
  const root = qomTree(machine);
  try {
    if (wordCount === 3) return listProperties(resolvePath(root, path).object).map(({ name }) => name);
    const parent = word.slice(0, word.lastIndexOf("/") + 1) || "/";
    return Object.keys(resolvePath(root, parent).object.children).map((name) => `${parent}${name}`);
  } catch {
    return [];
  }
}
