/**
 * What is said of the image beyond QEMU's options, for launches that say any of it: properties of -machine about what
 * goes in, and of -accel about its PCRs.
 */
import type { LaunchOptions, MeasureOptions } from "../../launch/options.ts";
import { type Occurrence, typedText } from "../argv.ts";
import { takeAccelPairs } from "./accel-pairs.ts";
import { checkedEach, properties } from "./launch-options.ts";
import { measureSchema, PCR_PROPERTIES } from "./process-schemas.ts";
import { field, onOff, pathSchema } from "./schemas.ts";

const PROPERTIES = ["ramdisk", "any-kernel"] as const;

/** One of these properties, where it stands. */
export interface ImageProperty {
  readonly key: (typeof PROPERTIES)[number];
  readonly value: string;
  readonly occurrence: Occurrence;
}

/** Whether a property of the machine is read here. */
export function isImageProperty(key: string): key is ImageProperty["key"] {
  return (PROPERTIES as readonly string[]).includes(key);
}

/** Reads them: of any-kernel= the last counts, every ramdisk= is one more. Throws UserError. */
export function imageOptions(image: readonly ImageProperty[]): Pick<LaunchOptions, "ramdisks" | "anyKernel"> {
  const all = (key: ImageProperty["key"]) => image.filter((property) => property.key === key);
  const ramdisks = all("ramdisk").map(({ value, occurrence }) => {
    const path =
      checkedEach(pathSchema, [{ ...occurrence, value, typed: typedText(occurrence) }])?.value ?? "";
    return { value: path, typed: `${occurrence.dashed} ramdisk=${path}` };
  });
  const insisting = all("any-kernel").map(({ value, occurrence }) => {
    return { ...occurrence, value, typed: typedText(occurrence) };
  });
  return { ramdisks, anyKernel: checkedEach(() => field(onOff("any-kernel")), insisting)?.value ?? false };
}

/** Takes out of -accel what is said of PCRs; what is left is read as ever. Throws UserError. */
export function measureOptions(occurrences: readonly Occurrence[]): {
  rest: Occurrence[];
  measure: MeasureOptions | undefined;
} {
  const { rest, own } = takeAccelPairs(occurrences, isMeasure);
  if (own.length === 0) return { rest, measure: undefined };
  const asked = properties(measureSchema, own, { implied: "accel", device: "nitro-accel" });
  const expected = PCR_PROPERTIES.flatMap(({ name, index }) => {
    const hex = asked[name];
    return hex === undefined ? [] : [{ index, hex }];
  });
  const told = asked.measure ?? false;
  return { rest, measure: told || expected.length > 0 ? { told, expected } : undefined };
}

function isMeasure(key: string): boolean {
  return key === "measure" || key.startsWith("expect-pcr");
}
