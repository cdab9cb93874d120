/** The huge page sizes that this kernel supports. */
import { listDirectory } from "../../sys/directory.ts";
import type { System } from "../../sys/system.ts";
import { GIB, sizeWithUnit } from "../../sys/units.ts";
import { HUGE_PAGES_DIRECTORY } from "../paths.ts";
import type { Problem } from "../problem.ts";

/** Returns the problem if the kernel lacks one of these page sizes (bytes); undefined also if sysfs cannot be read. */
export function pageSizeProblem(system: System, pageSizes: readonly number[]): Problem | undefined {
  const names = listDirectory(system, HUGE_PAGES_DIRECTORY);
  if (names === undefined) return undefined;
  const known = names.flatMap(
    (name) => 1024 * Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? Number.NaN) || [],
  );
  const absent = pageSizes.find((pageBytes) => !known.includes(pageBytes));
  if (absent === undefined) return undefined;
  const list = known.map(sizeWithUnit).join(", ");
  return {
    why: `this kernel has no huge pages of ${sizeWithUnit(absent)} (${HUGE_PAGES_DIRECTORY}: ${list || "none"})`,
    advice:
      absent === GIB
        ? "use hugetlbsize=2M, or leave it out"
        : "enclave memory is made of 2 MiB or 1 GiB pages: use a kernel that has them (on arm64, one with 4 KiB pages)",
  };
}
