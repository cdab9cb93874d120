/**
 * Whether a memory is prepared by several threads. What takes time is zeroing, some 5 to 10 GB/s for one thread: two
 * are almost twice as fast, as long as there are processors and the memory is no bottleneck. But threads take pages in
 * turn, so their pages are in no order; sorting them by the page map costs a fiftieth of the zeroing.
 */
import { usableCpus } from "../../sys/affinity.ts";
import { readSmallFile } from "../../sys/files.ts";
import { HUGE_PAGE_BYTES, type HugePageFile } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { type PreallocCallbacks, PreallocThreads } from "../../sys/threads/prealloc.ts";
import type { MemoryPlan } from "../plan/memory.ts";

/** Each thread has so much to do at least: some milliseconds' work, many times what it costs. */
const BYTES_PER_THREAD = 32 * 1024 * 1024;
/** With more threads than this it is the memory that is waited for. */
const MOST_THREADS = 8;
/** A thread works in a file for itself; with some more of them none waits long for another at the end. */
const FILES_PER_THREAD = 4;
const MANY_PAGES = 2048;
/** Mappings that a process has besides, with much room. */
const OTHER_MAPPINGS = 8192;
/** What a kernel allows where it does not say (DEFAULT_MAX_MAP_COUNT). */
const USUAL_MAPPINGS = 65_530;

/** Files that threads are filling; the end of it stops them. */
export interface Filling extends Disposable {
  /** Takes part until all of it is done. Throws SyscallError, and what the watch throws. */
  finish(watch: PreallocCallbacks): void;
}

/** Several threads that fill files, the one that asks for them among them. */
export interface Together {
  /** Into how many files pages of one size go. */
  filesFor(pages: number): number;
  /**
   * Begins to allocate all files; gives undefined, with nothing done, where no thread can be had. Throws SyscallError.
   * @param groups files of one page size each.
   */
  begin(groups: readonly (readonly HugePageFile[])[]): Filling | undefined;
}

/** So many mappings are tried without a question. */
const FEW_MAPPINGS = 128;

/** Tells whether so many pages may be mapped one by one: vm.max_map_count is read once, and where they are many. */
export function mappingLimit(system: System): (pages: number) => boolean {
  let most: number | undefined;
  return (pages) => {
    if (pages <= FEW_MAPPINGS) return true;
    most ??= mostMappings(system);
    return pages <= most;
  };
}

/** The most mappings that pages may be mapped by, one by one if need be: what vm.max_map_count leaves. */
export function mostMappings(system: System): number {
  const text = readSmallFile(system, "/proc/sys/vm/max_map_count") ?? "";
  const most = /^\d+\s*$/.test(text) ? Number(text) : USUAL_MAPPINGS;
  return most - Math.min(OTHER_MAPPINGS, most / 2);
}

/** What the number of threads is chosen by. */
export interface FillFacts {
  readonly plan: MemoryPlan;
  /** prealloc-threads=, which is kept to. */
  readonly asked: number | undefined;
  /** Whether the page frames are visible, so that the pages can be sorted, and whether so many mappings are allowed. */
  readonly pagesTold: boolean;
  readonly mayMap: (pages: number) => boolean;
}

/** How many threads fill the memory, this one among them. @param cpus asked for only where there is much to do. */
export function chooseThreads(facts: FillFacts, cpus: () => number): number {
  const { plan, asked } = facts;
  if (asked !== undefined) return asked;
  const most = Math.min(MOST_THREADS, Math.floor(plan.bytes / BYTES_PER_THREAD));
  if (most < 2) return 1;
  const small = plan.ranges.find(({ pageBytes }) => pageBytes === HUGE_PAGE_BYTES)?.pages ?? 0;
  // Out of order, they might be too many regions: slowly is better than not at all.
  if (small > 0 && !(facts.mayMap(small) && facts.pagesTold)) return 1;
  return Math.min(most, cpus());
}

/** Several threads, where there are to be several; undefined where one does it. */
export function planFilling(system: System, facts: FillFacts): Together | undefined {
  const threads = chooseThreads(facts, () => usableCpus(system));
  if (threads < 2) return undefined;
  return {
    filesFor: (pages) => Math.min(pages, threads * (pages < MANY_PAGES ? 1 : FILES_PER_THREAD)),
    begin: (groups) => PreallocThreads.start(system, groups, threads),
  };
}
