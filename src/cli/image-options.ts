/** What is said of the image beyond QEMU's options: properties of -machine, for launches that have any of them. */
import type { LaunchOptions } from "../machine/options.ts";
import { type Occurrence, typedText } from "./argv.ts";
import { checkedEach } from "./launch-options.ts";
import { onOffSchema } from "./process-schemas.ts";
import { pathSchema } from "./schemas.ts";

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

/** Reads them: of any-kernel= the last counts, every ramdisk= is one more. Throws Failure. */
export function imageOptions(
  properties: readonly ImageProperty[],
): Pick<LaunchOptions, "ramdisks" | "anyKernel"> {
  const all = (key: ImageProperty["key"]) => properties.filter((property) => property.key === key);
  const ramdisks = all("ramdisk").map(({ value, occurrence }) => {
    const path =
      checkedEach(pathSchema, [{ ...occurrence, value, typed: typedText(occurrence) }])?.value ?? "";
    return { value: path, typed: `${occurrence.dashed} ramdisk=${path}` };
  });
  const insisting = all("any-kernel").map(({ value, occurrence }) => {
    return { ...occurrence, value, typed: typedText(occurrence) };
  });
  return { ramdisks, anyKernel: checkedEach(() => onOffSchema("any-kernel"), insisting)?.value ?? false };
}
