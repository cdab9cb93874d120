/** The image, opened and checked as a launch does it, and -m against it. */
import { isEif } from "../eif/format/reader.ts";
import { ARCHITECTURE, type Image, openImage } from "../launch/image/image-files.ts";
import { openRegular } from "../launch/image/input-file.ts";
import { judge } from "../launch/image/measure.ts";
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
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, found, refused } from "./finding.ts";

/** Findings, and what the memory would be. */
export interface ImageChecked {
  readonly findings: readonly Finding[];
  readonly imageBytes: number;
  readonly memory: MemorySize;
}

/** Opens and reads the files. */
export async function checkImage(system: System, options: LaunchOptions): Promise<ImageChecked> {
  const told: string[] = [];
  try {
    using image = await openImage(
      { system, report: (line) => told.push(line), progress: NO_PROGRESS },
      options,
    );
    const measured = await measuredLine(system, image, options);
    const signed = image.signature === undefined ? "" : ", signed, with a certificate that is valid now";
    const findings = [
      found("image", "ok", `${image.what}: ${image.size} bytes for ${ARCHITECTURE}${signed}`),
      ...measured,
      ...told.map((line) => found("image", "warning", line.replace(/^warning: /, ""))),
    ];
    const { memory, lines } = memoryOf(options, image.size);
    return { findings: [...findings, ...lines], imageBytes: image.size, memory };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { memory, lines } = memoryOf(options, 0);
    const unknown = found(
      "memory",
      "note",
      `whether ${memory.typed} holds the image shows once it can be read`,
    );
    const failures = lines.filter(({ status }) => status === "failure");
    return {
      findings: [refused("image", error), ...(failures.length > 0 ? failures : [unknown])],
      imageBytes: 0,
      memory,
    };
  }
}

/** With expect-pcr0= and its like: what the image measures, against that. */
async function measuredLine(system: System, image: Image, options: LaunchOptions): Promise<Finding[]> {
  const { measure, debugMode, kernel, initrd, ramdisks, commandLine, anyKernel } = options;
  if (measure === undefined) return [];
  const { contentPcrs, imagePcrs } = await import("../eif/pcr.ts");
  const around = { system, report() {}, draw: undefined };
  const contents = {
    kernel: kernel.value,
    initrd: initrd?.value,
    commandLine: commandLine?.value ?? "",
    anyKernel,
    architecture: ARCHITECTURE,
    ramdisks: ramdisks.map(({ value, typed }) => ({ path: value, typed })),
  };
  const { measurement } = isEifFile(system, kernel)
    ? imagePcrs(around, kernel.value)
    : await contentPcrs(around, contents);
  judge(measure, debugMode, image, measurement);
  return measure.expected.length === 0 ? [] : [found("image", "ok", "its PCRs are those that are expected")];
}

function isEifFile(system: System, { value, typed }: Typed<string>): boolean {
  using file = openRegular({ system, report() {}, progress: NO_PROGRESS }, typed, value);
  return isEif(file.head);
}

function memoryOf(options: LaunchOptions, imageBytes: number): { memory: MemorySize; lines: Finding[] } {
  const planned = attempt("memory", () => planMemory(options.memoryBytes, imageBytes, options.memoryBackend));
  if ("refusal" in planned) {
    // The rest is looked at for what an enclave has without -m.
    return { memory: planMemory(undefined, imageBytes), lines: [planned.refusal] };
  }
  const memory = planned.value;
  const fits = attempt("memory", () => checkFits(memory, EXPECTED_IMAGE_OFFSET, imageBytes));
  if ("refusal" in fits) return { memory, lines: [fits.refusal] };
  const tight = tightMemory(memory, imageBytes)?.replace(/^warning: /, "");
  const line =
    tight === undefined
      ? found("memory", "ok", `${memory.typed}: ${sizeText(memory.bytes)}`)
      : found("memory", "warning", tight);
  return { memory, lines: [line] };
}
