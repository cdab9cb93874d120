/** Checks that the huge pages for the enclave are free on the right node, and that no limit forbids their use. */

import { poolNode } from "../host/cpu/nodes.ts";
import type { Topology } from "../host/cpu/topology.ts";
import { freeMemory } from "../host/memory/free-memory.ts";
import { hugePages, type PageRange, rangesText } from "../host/memory/huge-pages.ts";
import { hugePageSizes, pageSizeProblem } from "../host/memory/page-sizes.ts";
import { cpusetProblem, hugetlbProblem, memoryProblem } from "../host/process/cgroups.ts";
import { fileSizeProblem, openFilesProblem } from "../host/process/limits.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { planUsualPages } from "../launch/plan/huge-pages.ts";
import type { MemorySize } from "../launch/plan/memory.ts";
import { memorySource } from "../launch/plan/memory-source.ts";
import { excessWarning, planPagesOfAnySize, suffices, supplyOfAnySize } from "../launch/plan/page-supply.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { sizeWithUnit } from "../sys/units.ts";
import { attempt, type Finding, failure, finding } from "./finding.ts";

/** What the pages are needed for. */
export interface PageDemand {
  readonly memory: MemorySize;
  readonly imageBytes: number;
  /** The command for a missing CPU pool, which decides the node and may reserve the pages; undefined with a pool. */
  readonly poolCommand: string | undefined;
}

/** Runs the checks of huge pages, control groups and resource limits. */
export function checkPages(
  system: System,
  options: LaunchOptions,
  topology: Topology,
  demand: PageDemand,
): Finding[] {
  const { memory, imageBytes, poolCommand } = demand;
  if (poolCommand !== undefined && topology.nodes.length > 1) {
    const line = pagesOfAnyNode(system, options, topology, demand);
    return [line, ...limitLines(system, options, pagesNeeded(memory, options), undefined)];
  }
  const needed = pagesNeeded(memory, options);
  const pageBytes = options.memoryBackend?.pageBytes;
  const unsupported = pageBytes === undefined ? undefined : pageSizeProblem(system, [pageBytes]);
  if (unsupported !== undefined) {
    return [failure("pages", unsupported), ...limitLines(system, options, needed, undefined)];
  }
  const planned = attempt("pages", () => {
    const launch = { size: memory, backend: options.memoryBackend, imageBytes };
    const source = memorySource(system, options.memoryBackend);
    return planUsualPages(system, launch, source) ?? planPagesOfAnySize(system, launch, source);
  });
  if ("failure" in planned) {
    const node = topology.nodes.length > 1 ? poolNode(system) : undefined;
    return [planned.failure, ...limitLines(system, options, needed, node)];
  }
  const { ranges, node } = planned.value;
  const excess = excessWarning(planned.value)?.replace(/^warning: /, "");
  const what = excess ?? rangesText(ranges);
  const line = finding(
    "pages",
    excess === undefined ? "ok" : "warning",
    `${what}${placeText(node)}; ${supplyText(system, node)}`,
  );
  return [line, ...limitLines(system, options, ranges, node)];
}

/** Without a pool, any node may provide the pages. */
function pagesOfAnyNode(
  system: System,
  { memoryBackend }: LaunchOptions,
  { nodes }: Topology,
  { memory, poolCommand: command }: PageDemand,
): Finding {
  const sufficient = nodes.filter((node) =>
    suffices(supplyOfAnySize(system, node, memoryBackend?.pageBytes), memory, memoryBackend),
  );
  const each = nodes.map((node) => `node ${node}: ${supplyText(system, node)}`).join("; ");
  if (sufficient.length > 0)
    return finding(
      "pages",
      "ok",
      `NUMA node ${sufficient.join(", ")} has enough free huge pages for ${memory.typed}; ${each}`,
    );
  return failure("pages", {
    why: `${memory.typed}: no NUMA node has enough free huge pages (${each})`,
    command,
  });
}

/** The pages that a launch would use if they existed. */
function pagesNeeded(memory: MemorySize, { memoryBackend }: LaunchOptions): readonly PageRange[] {
  const pageBytes = memoryBackend?.pageBytes ?? HUGE_PAGE_BYTES;
  return [{ pageBytes, pages: Math.ceil(memory.bytes / pageBytes) }];
}

function placeText(node: number | undefined): string {
  return node === undefined ? "" : ` on NUMA node ${node}`;
}

/** Formats the supply: `300 of 512 of 2 MiB free, 40 more of 2 MiB could be allocated now, 80 after compaction`. */
function supplyText(system: System, node: number | undefined): string {
  const texts = hugePageSizes(system).flatMap((each) => {
    const { total = 0, free = 0 } = hugePages(system, each, node);
    const { reserved = 0 } = hugePages(system, each);
    if (total === 0) return [];
    const elsewhere = reserved === 0 ? "" : `, ${reserved} on all nodes reserved by other processes`;
    return [`${free} of ${total} of ${sizeWithUnit(each)} free${elsewhere}`];
  });
  const memory = freeMemory(system, node);
  const more =
    memory === undefined
      ? []
      : [
          `${memory.contiguousPages} more of 2 MiB could be allocated now, ` +
            `${Math.floor(memory.free / HUGE_PAGE_BYTES)} after compaction`,
        ];
  return [...(texts.length === 0 ? ["none reserved"] : texts), ...more].join(", ");
}

function limitLines(
  system: System,
  options: LaunchOptions,
  ranges: readonly PageRange[],
  node: number | undefined,
): Finding[] {
  const groups = [hugetlbProblem(system, ranges), cpusetProblem(system, node), memoryProblem(system)].flatMap(
    (problem) => (problem === undefined ? [] : [failure("cgroup", problem)]),
  );
  const largest = Math.max(0, ...ranges.map(({ pages, pageBytes }) => pages * pageBytes));
  const moreFiles = options.ramdisks.length + 4 * options.chardevs.length;
  const limits = [openFilesProblem(system, moreFiles), fileSizeProblem(system, largest)].flatMap((problem) =>
    problem === undefined ? [] : [failure("limits", problem)],
  );
  return [
    ...(groups.length > 0
      ? groups
      : [finding("cgroup", "ok", "no control group or cpuset restricts the launch")]),
    ...(limits.length > 0 ? limits : [finding("limits", "ok", "open files and file size suffice")]),
  ];
}
