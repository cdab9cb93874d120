/** The huge page sizes that this kernel supports. */
import { listDirectory } from "../../sys/directory.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { GIB, MIB, sizeWithUnit } from "../../sys/units.ts";
import { HUGE_PAGES_DIRECTORY } from "../paths.ts";
import type { Problem } from "../problem.ts";

/** Returns all sizes in bytes, largest first; undefined if sysfs cannot be read. */
function allPageSizes(system: System): number[] | undefined {
  return listDirectory(system, HUGE_PAGES_DIRECTORY)
    ?.flatMap((name) => 1024 * Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? Number.NaN) || [])
    .sort((a, b) => b - a);
}

/**
 * Returns the sizes that the driver accepts (ne_misc_dev.c: multiples of 2 MiB), in bytes, largest first: 2 MiB and
 * 1 GiB on x86_64, also 32 MiB, 512 MiB or 16 GiB on arm64, depending on the base page. If sysfs cannot be read, those
 * of x86_64.
 */
export function hugePageSizes(system: System): readonly number[] {
  const sizes = allPageSizes(system) ?? [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES];
  return sizes.filter((pageBytes) => pageBytes >= HUGE_PAGE_BYTES);
}

/** Returns the problem if the kernel lacks one of these page sizes (bytes); undefined also if sysfs cannot be read. */
export function pageSizeProblem(system: System, pageSizes: readonly number[]): Problem | undefined {
  const known = allPageSizes(system);
  const absent = pageSizes.find((pageBytes) => known?.includes(pageBytes) === false);
  if (known === undefined || absent === undefined) return undefined;
  const list = known.map(sizeWithUnit).join(", ");
  return {
    why: `this kernel has no huge pages of ${sizeWithUnit(absent)} (${HUGE_PAGES_DIRECTORY}: ${list || "none"})`,
    advice:
      absent === HUGE_PAGE_BYTES
        ? "enclave memory is made of huge pages of 2 MiB and more: use a kernel that has them"
        : "use hugetlbsize=2M, or leave it out",
  };
}

/** Returns a size as the kernel's command line has it (hugepagesz=): `2M`, `1G`. */
export function pageSizeName(pageBytes: number): string {
  return pageBytes >= GIB ? `${pageBytes / GIB}G` : `${pageBytes / MIB}M`;
}
