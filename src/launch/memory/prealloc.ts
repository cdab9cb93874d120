/**
 * Decides how many threads allocate the memory. Zeroing takes most of the time, about 5 to 10 GB/s for one thread.
 * Two threads are almost twice as fast, as long as there are CPUs and memory bandwidth. But threads allocate pages
 * alternately, so their physical order is lost; restoring it through the page map takes 1/50 of the time of zeroing.
 */
import { usableCpus } from "../../sys/affinity.ts";
import { readSmallFile } from "../../sys/files.ts";
import { GIGANTIC_PAGE_BYTES, type HugePageFile } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { type PreallocCallbacks, PreallocThreads } from "../../sys/threads/prealloc.ts";
import type { MemoryPlan } from "../plan/memory.ts";

/** Minimum per thread: some milliseconds of zeroing, many times the cost of starting a thread. */
const BYTES_PER_THREAD = 32 * 1024 * 1024;
/** More threads do not help: memory bandwidth is the limit. */
const MAX_THREADS = 8;
/** The kernel allocates in a file one thread at a time. With several files per thread, none waits long at the end. */
const FILES_PER_THREAD = 4;
const MANY_PAGES = 2048;
/** Mappings kept for the rest of the process, with a large margin. */
const OTHER_MAPPINGS = 8192;
/** Used if vm.max_map_count cannot be read (DEFAULT_MAX_MAP_COUNT in include/linux/mm.h). */
const DEFAULT_MAX_MAPPINGS = 65_530;
/** This many mappings are tried without reading vm.max_map_count. */
const FEW_MAPPINGS = 128;

/** Files that threads are allocating; disposal stops the threads. */
export interface Preallocation extends Disposable {
  /** Allocates on this thread as well until all is done. Throws SyscallError, and what the callbacks throw. */
  finish(callbacks: PreallocCallbacks): void;
}

/** Allocation by several threads, including the calling one. */
export interface PreallocPlan {
  /** Returns the number of files for pages of one size. */
  filesFor(pages: number): number;
  /**
   * Starts to allocate all files; returns undefined, with nothing done, if no thread can be created. Throws
   * SyscallError. @param groups files of one page size each.
   */
  start(groups: readonly (readonly HugePageFile[])[]): Preallocation | undefined;
}

/** Returns a check of whether pages may be mapped one by one. It reads vm.max_map_count once, only for many pages. */
export function mappingsCheck(system: System): (pages: number) => boolean {
  let max: number | undefined;
  return (pages) => {
    if (pages <= FEW_MAPPINGS) return true;
    max ??= maxMappings(system);
    return pages <= max;
  };
}

/** Returns how many mappings vm.max_map_count leaves for the enclave's memory. */
export function maxMappings(system: System): number {
  const text = readSmallFile(system, "/proc/sys/vm/max_map_count") ?? "";
  const max = /^\d+\s*$/.test(text) ? Number(text) : DEFAULT_MAX_MAPPINGS;
  return max - Math.min(OTHER_MAPPINGS, max / 2);
}

/** What the number of threads depends on. */
export interface PreallocConditions {
  readonly plan: MemoryPlan;
  /** prealloc-threads=, which is always obeyed. */
  readonly requestedThreads: number | undefined;
  /** Whether the kernel shows physical addresses, so that the pages can be put in order. */
  readonly framesVisible: boolean;
  /** Whether pages may be mapped one by one, which any order may need. */
  readonly mappingsAllowed: (pages: number) => boolean;
}

/** Returns the number of threads, including this one. @param cpus called only if the memory is large enough. */
export function chooseThreads(conditions: PreallocConditions, cpus: () => number): number {
  const { plan, requestedThreads, framesVisible, mappingsAllowed } = conditions;
  if (requestedThreads !== undefined) return requestedThreads;
  const max = Math.min(MAX_THREADS, Math.floor(plan.bytes / BYTES_PER_THREAD));
  if (max < 2) return 1;
  let hugePages = 0;
  for (const { pageBytes, pages } of plan.ranges) if (pageBytes < GIGANTIC_PAGE_BYTES) hugePages += pages;
  // Pages out of order might need more regions than the driver has: a slow launch is better than a failed one.
  if (hugePages > 0 && !(mappingsAllowed(hugePages) && framesVisible)) return 1;
  return Math.min(max, cpus());
}

/** Plans the allocation by several threads; returns undefined if one thread suffices. */
export function planPrealloc(system: System, conditions: PreallocConditions): PreallocPlan | undefined {
  const threads = chooseThreads(conditions, () => usableCpus(system));
  if (threads < 2) return undefined;
  return {
    filesFor: (pages) => Math.min(pages, threads * (pages < MANY_PAGES ? 1 : FILES_PER_THREAD)),
    start: (groups) => PreallocThreads.start(system, groups, threads),
  };
}
