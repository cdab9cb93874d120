/** Loads the image into the enclave's memory, and checks and measures it there before the memory is donated. */
import type { Mapping } from "../sys/memory.ts";
import type { LaunchContext } from "./context.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import type { Image } from "./image/image.ts";
import { ramdiskWarnings } from "./image/ramdisk-check.ts";
import type { AllocatedMemory } from "./memory/allocate-memory.ts";

/** More of a command line than the kernel reads (COMMAND_LINE_SIZE in arch/x86/include/asm/setup.h: 2048). */
const MAX_COMMAND_LINE_BYTES = 4096;

/** Loads the image at `offset` of the memory, measures and checks it there. Throws UserError, Cancelled. */
export async function loadImage(
  context: LaunchContext,
  run: EnclaveRun,
  image: Image,
  { mapping }: AllocatedMemory,
  offset: number,
): Promise<void> {
  {
    using _bar = context.progress.start("image", image.size);
    image.load(mapping, offset);
  }
  run.commandLine = commandLineOf(image, mapping, offset);
  if (context.options.measure !== undefined) await measure(context, run, image, mapping, offset);
  for (const line of await ramdiskWarnings(image, mapping, offset, run.plan.memory)) context.report(line);
}

function commandLineOf(image: Image, mapping: Mapping, offset: number): string {
  const section = image.sections.find(({ name }) => name === "cmdline");
  if (section === undefined) return "";
  const length = Math.min(section.size, MAX_COMMAND_LINE_BYTES);
  return new TextDecoder().decode(mapping.view(offset + section.offset, length));
}

async function measure(
  { options, progress }: LaunchContext,
  run: EnclaveRun,
  image: Image,
  mapping: Mapping,
  offset: number,
): Promise<void> {
  if (options.measure === undefined) return;
  const { measureImage } = await import("./image/measure.ts");
  using _bar = progress.start("measuring", image.size);
  const { measure: wanted, debugMode } = options;
  const { pcrs, lines } = measureImage(wanted, debugMode, image, mapping, offset, progress.advance);
  run.pcrs = pcrs;
  run.pcrLines = lines;
}
