/** Properties of -accel that few launches have, taken out of it for whoever reads them. */
import { type Occurrence, typedText } from "../argv.ts";
import { pairText } from "../keyval.ts";
import { keyvalsOf } from "./launch-options.ts";

/** Every option, -accel without the properties that are `mine`; and these, as -accel options of their own. */
export function takeAccelPairs(
  occurrences: readonly Occurrence[],
  mine: (key: string) => boolean,
): { rest: Occurrence[]; own: Occurrence[] } {
  const own: Occurrence[] = [];
  const rest = occurrences.map((occurrence) => {
    if (occurrence.name !== "accel") return occurrence;
    const { pairs, help } = keyvalsOf(occurrence, "accel");
    if (help) return occurrence;
    const typed = typedText(occurrence);
    const text = (wanted: boolean) =>
      pairs.filter(([key]) => mine(key) === wanted).map(([key, value]) => pairText(key, value));
    if (text(true).length === 0) return occurrence;
    own.push({ ...occurrence, value: text(true).join(","), typed });
    return { ...occurrence, value: text(false).join(",") || "nitro", typed };
  });
  return { rest, own };
}
