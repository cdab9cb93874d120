/** Sizes of huge pages that this kernel has. */
import { listDirectory } from "../../sys/directory.ts";
import type { System } from "../../sys/system.ts";
import type { Problem } from "../problem.ts";

const FOLDER = "/sys/kernel/mm/hugepages";

/** Why there can be no pages of these sizes; undefined where there can be, or nothing tells. */
export function pageSizeProblem(system: System, pageSizes: readonly number[]): Problem | undefined {
  const names = listDirectory(system, FOLDER);
  if (names === undefined) return undefined;
  const known = names.flatMap(
    (name) => 1024 * Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? Number.NaN) || [],
  );
  const absent = pageSizes.find((each) => !known.includes(each));
  if (absent === undefined) return undefined;
  const list = known.map(sizeText).join(", ");
  return {
    why: `this kernel has no huge pages of ${sizeText(absent)} (${FOLDER}: ${list === "" ? "none" : list})`,
    advice:
      absent === 2 ** 30
        ? "use hugetlbsize=2M, or leave it out"
        : "an enclave takes pages of 2 MiB or 1 GiB: use a kernel that has them (on arm64 one with pages of 4 KiB)",
  };
}

function sizeText(bytes: number): string {
  if (bytes >= 2 ** 30) return `${bytes / 2 ** 30} GiB`;
  return bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`;
}
