/** -d and -D: the trace of system calls and vsock. */
import type { LaunchOptions } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { TRACE_FLAGS, type TraceFlag } from "../../sys/trace.ts";
import { type ParsedOptions, typedText } from "./parsed-options.ts";
import { filePath } from "./values.ts";

const ITEMS = Object.keys(TRACE_FLAGS) as TraceFlag[];

/** -d */
export const TRACE = {
  name: "d",
  argument: "ITEM[,ITEM...]",
  help: `trace to stderr: ${ITEMS.join(", ")}; '-d help' describes them`,
  listing: () => {
    const rows = Object.entries(TRACE_FLAGS).map(([name, help]) => `${name.padEnd(15)} ${help}\n`);
    return `Log items (comma separated):\n${rows.join("")}`;
  },
} as const;

/** -D */
export const TRACE_FILE = {
  name: "D",
  argument: "FILE",
  help: "write the trace to FILE",
  schema: filePath,
} as const;

/** Reads -d and -D: the items of the last -d count. Throws UserError. */
export function debugOptions(parsed: ParsedOptions): Pick<LaunchOptions, "trace" | "traceFile"> {
  const lists = parsed.of(TRACE).map((trace) =>
    trace.value.split(",").map((name) => {
      const item = ITEMS.find((known) => known === name);
      if (item !== undefined) return item;
      throw new UserError(typedText(trace), `there is no trace item '${name}'`, `use ${ITEMS.join(", ")}`);
    }),
  );
  return { trace: new Set(lists.at(-1)), traceFile: parsed.file(TRACE_FILE) };
}
