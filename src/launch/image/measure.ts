/** What a launch's image measures, taken over the enclave's memory before it is donated, where that is asked for. */
import { type Measurement, measurement, PCR_BYTES, pcrHex } from "../../eif/format/measurement.ts";
import { UserError } from "../../sys/errors.ts";
import type { Mapping } from "../../sys/memory.ts";
import type { MeasureOptions, PcrIndex } from "../options.ts";
import type { Image } from "./image-files.ts";

/** The PCRs of a launch's image. */
export interface Measured {
  /** In hexadecimal digits, by name: pcr0. */
  readonly pcrs: Readonly<Record<string, string>>;
  /** What is told once the enclave has started. */
  readonly lines: readonly string[];
}

/** A signal is looked for after each piece of this size. */
const PIECE_BYTES = 64 * 1024 * 1024;

/**
 * Measures an image where it stands in memory, and compares it with what is expected.
 * @param between called between pieces; throws when the launcher is asked to stop. Throws UserError.
 */
export function measureImage(
  asked: MeasureOptions,
  debugMode: boolean,
  image: Image,
  memory: Mapping,
  offset: number,
  between: (bytes: number) => void,
): Measured {
  return judge(asked, debugMode, image, hashed(image, memory, offset, between));
}

/** Compares what an image measures with what is expected. Throws UserError where it is something else. */
export function judge(
  asked: MeasureOptions,
  debugMode: boolean,
  image: Pick<Image, "what" | "signature">,
  values: Measurement,
): Measured {
  const why = image.signature?.whyNotHolding(values.pcr0);
  if (why !== undefined) throw new UserError(image.what, `its signature does not hold: ${why}`);
  const pcr8 = image.signature?.pcr8;
  const pcrs: ReadonlyMap<PcrIndex, string> = new Map([
    [0, pcrHex(values.pcr0)],
    [1, pcrHex(values.pcr1)],
    [2, pcrHex(values.pcr2)],
    [8, pcrHex(pcr8 ?? new Uint8Array(PCR_BYTES))],
  ]);
  for (const { index, hex } of asked.expected) {
    const found = pcrs.get(index);
    if (found !== hex) throw unexpected(index, hex, found ?? "", index === 8 && pcr8 === undefined);
  }
  const shown = [...pcrs].filter(([index]) => index !== 8 || pcr8 !== undefined);
  return {
    pcrs: Object.fromEntries(shown.map(([index, hex]) => [`pcr${index}`, hex])),
    lines: asked.report ? toldLines(shown, debugMode) : [],
  };
}

function hashed(
  image: Image,
  memory: Mapping,
  offset: number,
  between: (bytes: number) => void,
): Measurement {
  const running = measurement();
  for (const section of image.sections) {
    running.begin(section.name);
    for (let at = 0; at < section.size; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, section.size - at);
      running.add(memory.view(offset + section.offset + at, length));
      between(length);
    }
  }
  return running.values();
}

function unexpected(index: PcrIndex, wanted: string, found: string, unsigned: boolean): UserError {
  return new UserError(
    `-accel nitro,expect-pcr${index}=`,
    `PCR${index} of the image is ${found}${unsigned ? " (it is not signed)" : ""}, not ${wanted}; nothing was donated`,
    "if this image is the one that is meant, expect its PCR; else find out who changed it",
  );
}

function toldLines(pcrs: readonly (readonly [PcrIndex, string])[], debugMode: boolean): string[] {
  const lines = pcrs.map(([index, hex]) => `PCR${index}: ${hex}`);
  return debugMode ? [...lines, "in debug mode the enclave attests zeros in place of these PCRs"] : lines;
}
