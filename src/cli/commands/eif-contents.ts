/** The words that decide what an image measures: those of a launch, with the architecture of another machine. */
import type { ArgsDef } from "citty";
import type { Contents } from "../../eif/build.ts";
import type { Architecture } from "../../eif/format/layout.ts";
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { UserError } from "../../sys/errors.ts";
import { KeyvalError, parseKeyvals } from "../keyval.ts";
import { parseOnOff } from "../numbers.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";

/** Their rows in a command's table. */
export const CONTENT_ARGUMENTS = {
  kernel: {
    type: "string",
    valueHint: "FILE",
    description: "the kernel: a bzImage; for arm64 an Image, packed or not",
  },
  initrd: { type: "string", valueHint: "FILE", description: "the initial ramdisk" },
  append: { type: "string", valueHint: "TEXT", description: "the kernel's command line" },
  M: {
    type: "string",
    valueHint: "nitro[,ramdisk=FILE...][,any-kernel=on]",
    description: "further ramdisks, each a section of its own after -initrd's; a kernel of whatever format",
  },
  machine: { type: "string", valueHint: "nitro,...", description: "the same as -M" },
  arch: {
    type: "string",
    valueHint: "x86_64|aarch64",
    description: "whose image it is (default: this machine's)",
  },
} as const satisfies ArgsDef;

/** Which of them may come again. */
export const CONTENT_REPEATABLE = ["M", "machine"] as const;

/** The last value of an option. */
export function lastOf({ values }: SubcommandArgs, name: string): string | undefined {
  return values.get(name)?.at(-1);
}

/** The option's value, which must be there. Throws UserError. @param hint what to type. */
export function needed(words: SubcommandArgs, name: string, why: string, hint: string): string {
  const value = lastOf(words, name);
  if (value === undefined) throw new UserError(`-${name}`, `missing; ${why}`, hint);
  return value;
}

/** Refuses words that are no options, but for as many as a command takes. Throws UserError. */
export function positionals({ words }: SubcommandArgs, most: number, hint: string): readonly string[] {
  const extra = words[most];
  if (extra === undefined) return words;
  throw new UserError(extra === "" ? "''" : extra, "a word without an option", hint);
}

/** Reads them. Throws UserError. */
export function readContents(words: SubcommandArgs): Contents {
  const kernel = needed(
    words,
    "kernel",
    "an image has a kernel",
    "-kernel FILE [-initrd FILE] [-append TEXT]",
  );
  const machine = readMachine([...(words.values.get("M") ?? []), ...(words.values.get("machine") ?? [])]);
  return {
    kernel,
    initrd: lastOf(words, "initrd"),
    commandLine: lastOf(words, "append") ?? "",
    architecture: readArchitecture(lastOf(words, "arch")),
    ...machine,
  };
}

function readArchitecture(text: string | undefined): Architecture {
  if (text === undefined) return KERNEL_ARCHITECTURE;
  if (text === "x86_64" || text === "aarch64") return text;
  throw new UserError(`-arch ${text}`, "no architecture of an enclave", "-arch x86_64, or -arch aarch64");
}

function readMachine(texts: readonly string[]): Pick<Contents, "ramdisks" | "anyKernel"> {
  const ramdisks: { path: string; typed: string }[] = [];
  let anyKernel = false;
  for (const text of texts) {
    for (const [key, value] of pairsOf(text)) {
      if (key === "ramdisk") ramdisks.push({ path: value, typed: `-M ramdisk=${value}` });
      else if (key === "any-kernel") anyKernel = onOff(text, value);
      else if (key !== "type" || value !== "nitro") throw otherProperty(text, key);
    }
  }
  return { ramdisks, anyKernel };
}

function onOff(text: string, value: string): boolean {
  const on = parseOnOff(value);
  if (on === undefined) throw new UserError(`-M ${text}`, "Parameter 'any-kernel' expects 'on' or 'off'");
  return on;
}

function otherProperty(text: string, key: string): UserError {
  const why =
    key === "type" ? "an image is for the machine nitro" : `'${key}' says nothing about an image's contents`;
  return new UserError(`-M ${text}`, why, "-M nitro,ramdisk=FILE,any-kernel=on");
}

function pairsOf(text: string): readonly (readonly [string, string])[] {
  try {
    return parseKeyvals(text, { implied: "type" }).pairs;
  } catch (error) {
    throw error instanceof KeyvalError
      ? new UserError(`-M ${text}`, error.message, "-M nitro,ramdisk=FILE")
      : error;
  }
}
