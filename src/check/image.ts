/** Checks the image as a launch does, and whether -m suffices for it. */
import type { ImageContents } from "../eif/contents.ts";
import { isEif } from "../eif/format/reader.ts";
import { openInput } from "../eif/input-file.ts";
import type { Image } from "../launch/image/image.ts";
import { openImage } from "../launch/image/image-files.ts";
import { checkPcrs } from "../launch/image/measure.ts";
import type { LaunchOptions, Typed } from "../launch/options.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  type MemorySize,
  planMemory,
  sizeText,
  tightMemory,
} from "../launch/plan/memory.ts";
import { NO_PROGRESS } from "../launch/progress.ts";
import { KERNEL_ARCHITECTURE } from "../sys/architecture.ts";
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failureFromError, finding } from "./finding.ts";

/** The findings, and what the other checks need to know of the image. */
export interface ImageReport {
  readonly findings: readonly Finding[];
  /** 0 if the image cannot be read. */
  readonly imageBytes: number;
  /** The memory that a launch would plan. */
  readonly memory: MemorySize;
}

/** Runs the checks. */
export async function checkImage(system: System, options: LaunchOptions): Promise<ImageReport> {
  const warnings: string[] = [];
  try {
    using image = await openImage(
      { system, report: (line) => warnings.push(line), progress: NO_PROGRESS },
      options,
    );
    const measurements = await measurementLines(system, image, options);
    const signed = image.signature === undefined ? "" : ", signed with a valid certificate";
    const findings = [
      finding("image", "ok", `${image.what}: ${image.size} bytes for ${KERNEL_ARCHITECTURE}${signed}`),
      ...measurements,
      ...warnings.map((line) => finding("image", "warning", line.replace(/^warning: /, ""))),
    ];
    const { memory, lines } = memoryOf(options, image.size);
    return { findings: [...findings, ...lines], imageBytes: image.size, memory };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { memory, lines } = memoryOf(options, 0);
    const unknown = finding(
      "memory",
      "note",
      `cannot tell whether ${memory.typed} suffices until the image can be read`,
    );
    const failures = lines.filter(({ status }) => status === "failure");
    return {
      findings: [failureFromError("image", error), ...(failures.length > 0 ? failures : [unknown])],
      imageBytes: 0,
      memory,
    };
  }
}

/** Compares the image's measurements with expect-pcr0= to expect-pcr8=. */
async function measurementLines(system: System, image: Image, options: LaunchOptions): Promise<Finding[]> {
  const { measure, debugMode, kernel, initrd, ramdisks, commandLine, anyKernel } = options;
  if (measure === undefined) return [];
  const { contentPcrs, imagePcrs } = await import("../eif/pcr.ts");
  const context = { system, report() {}, draw: undefined };
  const contents: ImageContents = {
    kernel: kernel.value,
    initrd: initrd?.value,
    commandLine: commandLine?.value ?? "",
    anyKernel,
    architecture: KERNEL_ARCHITECTURE,
    ramdisks: ramdisks.map(({ value, typed }) => ({ path: value, typed })),
  };
  const { pcrs } = isEifFile(system, kernel)
    ? imagePcrs(context, kernel.value)
    : await contentPcrs(context, contents);
  checkPcrs(measure, debugMode, image, pcrs);
  return measure.expected.length === 0 ? [] : [finding("image", "ok", "its PCRs are as expected")];
}

function isEifFile(system: System, { value, typed }: Typed<string>): boolean {
  using file = openInput(system, typed, value);
  return isEif(file.head);
}

function memoryOf(options: LaunchOptions, imageBytes: number): { memory: MemorySize; lines: Finding[] } {
  const planned = attempt("memory", () => planMemory(options.memoryBytes, imageBytes, options.memoryBackend));
  if ("failure" in planned) {
    // The other checks continue with the default memory size.
    return { memory: planMemory(undefined, imageBytes), lines: [planned.failure] };
  }
  const memory = planned.value;
  const fits = attempt("memory", () => checkFits(memory, EXPECTED_IMAGE_OFFSET, imageBytes));
  if ("failure" in fits) return { memory, lines: [fits.failure] };
  const tight = tightMemory(memory, imageBytes)?.replace(/^warning: /, "");
  const line =
    tight === undefined
      ? finding("memory", "ok", `${memory.typed}: ${sizeText(memory.bytes)}`)
      : finding("memory", "warning", tight);
  return { memory, lines: [line] };
}
