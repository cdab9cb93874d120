/** Computes the PCRs of a launch's image in the enclave's memory, and compares them with the expected ones. */
import { measureSections, PCR_BYTES, type Pcrs, pcrHex } from "../../eif/format/measurement.ts";
import { UserError } from "../../sys/errors.ts";
import type { Mapping } from "../../sys/memory.ts";
import { CHECK_INTERVAL_BYTES } from "../cancellation.ts";
import type { MeasureOptions, PcrIndex } from "../options.ts";
import type { Image } from "./image.ts";

/** The measured PCRs of a launch's image. */
export interface MeasuredPcrs {
  /** Hexadecimal digits by name: pcr0. */
  readonly pcrs: Readonly<Record<string, string>>;
  /** What to print once the enclave has started. */
  readonly lines: readonly string[];
}

/**
 * Measures an image that is at `offset` of `memory`.
 * @param advance called after each chunk; throws Cancelled. Throws UserError if a PCR is not the expected one.
 */
export function measureImage(
  options: MeasureOptions,
  debugMode: boolean,
  image: Image,
  memory: Mapping,
  offset: number,
  advance: (bytes: number) => void,
): MeasuredPcrs {
  const pcrs = measureSections(image.sections, (section, use) => {
    for (let at = 0; at < section.size; at += CHECK_INTERVAL_BYTES) {
      const length = Math.min(CHECK_INTERVAL_BYTES, section.size - at);
      use(memory.view(offset + section.offset + at, length));
      advance(length);
    }
  });
  return checkPcrs(options, debugMode, image, pcrs);
}

/** Checks the signature and the expected PCRs of an image. Throws UserError. */
export function checkPcrs(
  options: MeasureOptions,
  debugMode: boolean,
  { what, signature }: Pick<Image, "what" | "signature">,
  { pcr0, pcr1, pcr2 }: Pcrs,
): MeasuredPcrs {
  const problem = signature?.problem(pcr0);
  if (problem !== undefined) throw new UserError(what, `its signature is not valid: ${problem}`);
  const pcr8 = signature?.pcr8;
  const pcrs: ReadonlyMap<PcrIndex, string> = new Map([
    [0, pcrHex(pcr0)],
    [1, pcrHex(pcr1)],
    [2, pcrHex(pcr2)],
    [8, pcrHex(pcr8 ?? new Uint8Array(PCR_BYTES))],
  ]);
  for (const { index, hex } of options.expected) {
    const actual = pcrs.get(index);
    if (actual !== hex) throw unexpectedPcr(index, hex, actual ?? "", index === 8 && pcr8 === undefined);
  }
  const shown = [...pcrs].filter(([index]) => index !== 8 || pcr8 !== undefined);
  return {
    pcrs: Object.fromEntries(shown.map(([index, hex]) => [`pcr${index}`, hex])),
    lines: options.report ? pcrLines(shown, debugMode) : [],
  };
}

function unexpectedPcr(index: PcrIndex, expected: string, actual: string, unsigned: boolean): UserError {
  return new UserError(
    `-accel nitro,expect-pcr${index}=`,
    `the image's PCR${index} is ${actual}${unsigned ? " (it is not signed)" : ""}, not ${expected}; ` +
      "no memory was donated",
    "if this is the intended image, expect its PCR instead; otherwise find out why the image changed",
  );
}

function pcrLines(pcrs: readonly (readonly [PcrIndex, string])[], debugMode: boolean): string[] {
  const lines = pcrs.map(([index, hex]) => `PCR${index}: ${hex}`);
  return debugMode ? [...lines, "in debug mode the enclave attests zeros instead of these PCRs"] : lines;
}
