/** The options that determine what an image contains: those of a launch, and the architecture. */
import type { ImageContents } from "../../eif/contents.ts";
import type { Architecture } from "../../eif/format/layout.ts";
import { KERNEL_ARCHITECTURE } from "../../sys/architecture.ts";
import { UserError } from "../../sys/errors.ts";
import { parseOption } from "../command-line.ts";
import { imageOptions, KERNEL } from "../options/image.ts";
import { MACHINE, mirroredOptions } from "../options/machine.ts";
import { type ParsedOption, ParsedOptions, typedText } from "../options/parsed-options.ts";
import type { SubcommandArgs } from "../subcommand-args.ts";

/** Their citty definitions. */
export const SOURCE_ARGS = {
  kernel: {
    type: "string",
    valueHint: "FILE",
    description: "the kernel: a bzImage; for arm64 an Image, compressed or not",
  },
  initrd: { type: "string", valueHint: "FILE", description: "the initial ramdisk" },
  append: { type: "string", valueHint: "TEXT", description: "the kernel's command line" },
  machine: {
    type: "string",
    alias: "M",
    repeats: true,
    valueHint: "nitro[,ramdisk=FILE...][,any-kernel=on]",
    description: "further ramdisks after -initrd, a section each; accept any kernel; may be repeated",
  },
  arch: {
    type: "string",
    valueHint: "x86_64|aarch64",
    description: "the architecture of the image (default: this machine's)",
  },
} as const;

/** The names of the options that a launch has as well. */
const LAUNCH_NAMES = ["kernel", "initrd", "append", "machine"];
const MACHINE_PROPERTIES = ["type", "ramdisk", "any-kernel", "kernel", "initrd", "append"];

/** Returns what the image is to contain. Throws UserError. */
export function imageSources(args: SubcommandArgs): ImageContents {
  const parsed = args.options
    .filter(({ name }) => LAUNCH_NAMES.includes(name))
    .map((occurrence) => parseOption(occurrence).parsed);
  for (const option of parsed) refuseOtherProperties(option);
  const options = new ParsedOptions(parsed.flatMap(mirroredOptions));
  if (!options.has(KERNEL))
    throw new UserError(
      "-kernel",
      "missing; an image has a kernel",
      "use -kernel FILE [-initrd FILE] [-append TEXT]",
    );
  const { kernel, initrd, ramdisks, commandLine, anyKernel } = imageOptions(
    options,
    options.properties(MACHINE),
  );
  return {
    kernel: kernel.value,
    initrd: initrd?.value,
    ramdisks: ramdisks.map(({ value, typed }) => ({ path: value, typed })),
    commandLine: commandLine?.value ?? "",
    architecture: architectureOf(args.last("arch")),
    anyKernel,
  };
}

function refuseOtherProperties(option: ParsedOption): void {
  const other = option.pairs.find(([key]) => !MACHINE_PROPERTIES.includes(key));
  if (other === undefined) return;
  const why = `'${other[0]}' does not affect the contents of an image`;
  throw new UserError(typedText(option), why, "use -M nitro,ramdisk=FILE,any-kernel=on");
}

function architectureOf(text: string | undefined): Architecture {
  if (text === undefined) return KERNEL_ARCHITECTURE;
  if (text === "x86_64" || text === "aarch64") return text;
  throw new UserError(
    `-arch ${text}`,
    "enclaves exist for x86_64 and aarch64",
    "use -arch x86_64 or -arch aarch64",
  );
}
