/**
 * The commands that documents show. A fenced block with the language `console` has shell commands after `$ ` and, below
 * each, the output that the document shows for it (none: any output). A line `...` stands for any number of lines.
 * After `console`, the block says where it runs: `plain` without an emulated parent instance, `fresh` on one whose CPU
 * pool is empty, `debug` on a prepared one whose enclave powers off, or else on a prepared one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../support/packages.ts";

/** Where a block runs. */
export type Place = "plain" | "fresh" | "debug" | "prepared";

/** A command, the output that is shown for it, and its exit status. */
export interface ShownCommand {
  readonly command: string;
  readonly output: readonly string[];
}

/** A block of commands that run one after another in one shell. */
export interface ShownBlock {
  readonly document: string;
  readonly line: number;
  readonly place: Place;
  /** The exit status of the last command. */
  readonly status: number;
  readonly commands: readonly ShownCommand[];
}

function documents(): string[] {
  const manual = readdirSync(join(ROOT, "src/manual")).map((name) => `src/manual/${name}`);
  return ["README.md", ...manual.filter((name) => name.endsWith(".md")).sort()];
}

/** Returns all blocks of README and manual. */
export function shownBlocks(): ShownBlock[] {
  return documents().flatMap((document) => {
    const text = readFileSync(join(ROOT, document), "utf8");
    return [...text.matchAll(/^```console(.*)\n([\s\S]*?)^```$/gm)].map((match) => {
      const [, info = "", body = ""] = match;
      const place = /\b(plain|fresh|debug)\b/.exec(info)?.[1] as Place | undefined;
      return {
        document,
        line: text.slice(0, match.index).split("\n").length,
        place: place ?? "prepared",
        status: Number(/\bstatus=(\d+)/.exec(info)?.[1] ?? 0),
        commands: commandsOf(body),
      };
    });
  });
}

function commandsOf(body: string): ShownCommand[] {
  const commands: { command: string; output: string[] }[] = [];
  for (const line of body.trimEnd().split("\n")) {
    if (line.startsWith("$ ")) commands.push({ command: line.slice(2).replace(/\s+#.*$/, ""), output: [] });
    else commands.at(-1)?.output.push(line);
  }
  return commands;
}

/** Whether printed lines are those that a document shows; `...` matches any number of lines. */
export function matchesShown(printed: readonly string[], shown: readonly string[]): boolean {
  const [first, ...rest] = shown;
  if (first === undefined) return printed.length === 0;
  if (first.trim() === "...") {
    return printed.some((_, i) => matchesShown(printed.slice(i), rest)) || rest.length === 0;
  }
  return printed[0]?.trimEnd() === first.trimEnd() && matchesShown(printed.slice(1), rest);
}
