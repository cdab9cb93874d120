/** Huge pages for the enclave's memory: free on the right node, and not held back by limits. */

import { poolNode } from "../host/cpu/nodes.ts";
import type { Topology } from "../host/cpu/topology.ts";
import { freeMemory } from "../host/memory/free-memory.ts";
import { availablePages, hugePages } from "../host/memory/huge-pages.ts";
import { pageSizeProblem } from "../host/memory/page-sizes.ts";
import { cpusetProblem, hugetlbProblem, memoryProblem } from "../host/process/cgroups.ts";
import { fileSizeProblem, openFilesProblem } from "../host/process/limits.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { planMemoryPages } from "../launch/plan/huge-pages.ts";
import { type MemorySize, type PageRange, pageText, planPages, rangesText } from "../launch/plan/memory.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failed, found } from "./finding.ts";

const SIZES = [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES];

/** What the pages are for. */
export interface PagesWanted {
  readonly memory: MemorySize;
  readonly imageBytes: number;
  /** Where the pool has to be made first: it decides on the node, and may bring the pages. */
  readonly poolCommand: string | undefined;
}

/** Looks at pages, control groups and limits. */
export function checkPages(
  system: System,
  options: LaunchOptions,
  topology: Topology,
  wanted: PagesWanted,
): Finding[] {
  const { memory, imageBytes, poolCommand } = wanted;
  const undecided = poolCommand !== undefined && topology.nodes.length > 1;
  if (undecided) {
    const line = pagesOfSomeNode(system, topology, memory, poolCommand);
    return [line, ...limitLines(system, options, rangesOf(memory, options), undefined)];
  }
  const sizes = [...new Set(rangesOf(memory, options).map(({ pageBytes }) => pageBytes))];
  const unknown = pageSizeProblem(system, sizes);
  if (unknown !== undefined) {
    return [failed("pages", unknown), ...limitLines(system, options, rangesOf(memory, options), undefined)];
  }
  const planned = attempt("pages", () => planMemoryPages(system, memory, options.memoryBackend, imageBytes));
  if ("refusal" in planned) {
    const node = topology.nodes.length > 1 ? poolNode(system) : undefined;
    return [planned.refusal, ...limitLines(system, options, rangesOf(memory, options), node)];
  }
  const { ranges, node } = planned.value;
  const line = found("pages", "ok", `${rangesText(ranges)}${placeText(node)}; ${supplyText(system, node)}`);
  return [line, ...limitLines(system, options, ranges, node)];
}

/** The pool will be on a node that has the pages or can have them. */
function pagesOfSomeNode(system: System, topology: Topology, memory: MemorySize, command: string): Finding {
  const able = topology.nodes.filter((node) => {
    const supply = {
      giant: availablePages(system, GIGANTIC_PAGE_BYTES, node),
      huge: availablePages(system, HUGE_PAGE_BYTES, node),
    };
    return planPages(memory.bytes, supply) !== undefined;
  });
  const each = topology.nodes.map((node) => `node ${node}: ${supplyText(system, node)}`).join("; ");
  if (able.length > 0)
    return found("pages", "ok", `NUMA node ${able.join(", ")} has enough for ${memory.typed}; ${each}`);
  return failed("pages", { why: `${memory.typed}: no NUMA node has enough huge pages (${each})`, command });
}

/** What would be taken if it were there. */
function rangesOf(memory: MemorySize, { memoryBackend }: LaunchOptions): readonly PageRange[] {
  const pageBytes = memoryBackend?.pageBytes ?? HUGE_PAGE_BYTES;
  return [{ pageBytes, pages: Math.ceil(memory.bytes / pageBytes) }];
}

function placeText(node: number | undefined): string {
  return node === undefined ? "" : ` on NUMA node ${node}`;
}

/** `300 of 512 of 2 MiB free, 20 promised to others; 4000 more could be made at once`. */
function supplyText(system: System, node: number | undefined): string {
  const texts = SIZES.flatMap((each) => {
    const { total = 0, free = 0 } = hugePages(system, each, node);
    const { reserved = 0 } = hugePages(system, each);
    if (total === 0) return [];
    const promised = reserved === 0 ? "" : `, ${reserved} of all nodes promised to others`;
    return [`${free} of ${total} of ${pageText(each)} free${promised}`];
  });
  const memory = freeMemory(system, node);
  const more =
    memory === undefined
      ? []
      : [
          `${memory.contiguousPages} more of 2 MiB could be made at once, ` +
            `${Math.floor(memory.free / HUGE_PAGE_BYTES)} of all that is free`,
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
    (problem) => (problem === undefined ? [] : [failed("cgroup", problem)]),
  );
  const largest = Math.max(0, ...ranges.map(({ pages, pageBytes }) => pages * pageBytes));
  const more = options.ramdisks.length + 4 * options.chardevs.length;
  const limits = [openFilesProblem(system, more), fileSizeProblem(system, largest)].flatMap((problem) =>
    problem === undefined ? [] : [failed("limits", problem)],
  );
  return [
    ...(groups.length > 0 ? groups : [found("cgroup", "ok", "no control group or cpuset is in the way")]),
    ...(limits.length > 0 ? limits : [found("limits", "ok", "enough open files, and files large enough")]),
  ];
}
