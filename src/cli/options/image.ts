/** -kernel, -initrd and -append: what the enclave boots. */
import type { LaunchOptions, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { pairText } from "../keyval.ts";
import { MACHINE, type Machine } from "./machine.ts";
import type { ParsedOption, ParsedOptions } from "./parsed-options.ts";
import { filePath, rule, text } from "./values.ts";

/** -kernel */
export const KERNEL = {
  name: "kernel",
  argument: "FILE",
  help: "the kernel (bzImage; arm64 Image, flat, gzipped or in an EFI zboot image), or a whole EIF",
  schema: filePath,
} as const;

/** -initrd */
export const INITRD = {
  name: "initrd",
  argument: "FILE",
  help: "the initial ramdisk",
  schema: filePath,
} as const;

/** The longest command line of x86 and arm64 kernels, with its final NUL (COMMAND_LINE_SIZE). */
const COMMAND_LINE_BYTES = 2048;

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** -append */
export const APPEND = {
  name: "append",
  argument: "TEXT",
  help: "the kernel's command line",
  schema: () =>
    text().check(
      rule<string>((text) => !text.includes("\0"), "a command line cannot contain a NUL byte"),
      rule<string>(
        (text) => byteLength(text) < COMMAND_LINE_BYTES,
        (text) =>
          `it has ${byteLength(text)} bytes; a kernel accepts a command line of at most ${COMMAND_LINE_BYTES - 1}`,
      ),
    ),
} as const;

/** Reads the image's options. @param machine the properties of -machine. Throws UserError. */
export function imageOptions(
  parsed: ParsedOptions,
  machine: Machine,
): Pick<LaunchOptions, "kernel" | "initrd" | "ramdisks" | "commandLine" | "anyKernel"> {
  const kernel = parsed.file(KERNEL);
  if (kernel === undefined) throw new UserError("no image given; usage: nitro -kernel app.eif", "");
  const commandLine = parsed.value(APPEND);
  return {
    kernel,
    initrd: parsed.file(INITRD),
    ramdisks: machine.ramdisk === undefined ? [] : parsed.of(MACHINE).flatMap(ramdisks),
    commandLine:
      commandLine === undefined ? undefined : { value: commandLine, typed: parsed.typed(APPEND) ?? "" },
    anyKernel: machine["any-kernel"] ?? false,
  };
}

function ramdisks(machine: ParsedOption): Typed<string>[] {
  return machine.pairs
    .filter(([key]) => key === "ramdisk")
    .map(([key, value]) => ({ value, typed: `${machine.dashed} ${pairText(key, value)}` }));
}
