/** Huge pages: ranges of them, and the parent's counters in sysfs, of the whole machine and of each NUMA node. */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { sizeWithUnit } from "../../sys/units.ts";
import { HUGE_PAGES_DIRECTORY, NODE_DIRECTORY } from "../paths.ts";

/** A number of pages of one size. */
export interface PageRange {
  readonly pageBytes: number;
  readonly pages: number;
}

/** Returns the size of page ranges in bytes. */
export function rangesBytes(ranges: readonly PageRange[]): number {
  let bytes = 0;
  for (const range of ranges) bytes += range.pages * range.pageBytes;
  return bytes;
}

/** Formats page ranges: `1 huge page of 1 GiB, 4 of 32 MiB and 512 of 2 MiB`. */
export function rangesText(ranges: readonly PageRange[]): string {
  let text = "";
  for (const [i, { pages, pageBytes }] of ranges.entries()) {
    const joint = i === 0 ? "" : i === ranges.length - 1 ? " and " : ", ";
    const what = i > 0 ? "" : pages === 1 ? " huge page" : " huge pages";
    text += `${joint}${pages}${what} of ${sizeWithUnit(pageBytes)}`;
  }
  return text === "" ? "no huge pages" : text;
}

/** Returns the directory with the counters of one page size, for the whole machine or for one NUMA node. */
export function hugePageDirectory(pageBytes: number, node?: number): string {
  const parent = node === undefined ? HUGE_PAGES_DIRECTORY : `${NODE_DIRECTORY}/node${node}/hugepages`;
  return `${parent}/hugepages-${pageBytes / 1024}kB`;
}

/** Pages of one size; a counter that cannot be read is undefined. */
export interface HugePages {
  readonly total: number | undefined;
  readonly free: number | undefined;
  /** Reserved for mappings that have not touched them yet, so not available; counted for the whole machine only. */
  readonly reserved: number | undefined;
  /** Allocated by overcommit beyond the pool's size; the kernel frees them when their user does. */
  readonly surplus: number | undefined;
}

function counter(system: System, directory: string, name: string): number | undefined {
  const text = readSmallFile(system, `${directory}/${name}`)?.trim();
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Reads the counters of the whole machine, or of one NUMA node. */
export function hugePages(system: System, pageBytes: number, node?: number): HugePages {
  const directory = hugePageDirectory(pageBytes, node);
  return {
    total: counter(system, directory, "nr_hugepages"),
    free: counter(system, directory, "free_hugepages"),
    reserved: node === undefined ? counter(system, directory, "resv_hugepages") : undefined,
    surplus: counter(system, directory, "surplus_hugepages"),
  };
}

/**
 * Returns how many pages a launch can allocate: those free and not reserved; for a node, at most its free ones.
 * Returns undefined if the kernel has no pages of that size.
 */
export function availablePages(system: System, pageBytes: number, node?: number): number | undefined {
  const directory = hugePageDirectory(pageBytes);
  const free = counter(system, directory, "free_hugepages");
  if (free === undefined) return undefined;
  const unreserved = Math.max(0, free - (counter(system, directory, "resv_hugepages") ?? 0));
  if (node === undefined) return unreserved;
  // A kernel without NUMA has no node directories: the machine's pages are the node's.
  const freeOnNode = counter(system, hugePageDirectory(pageBytes, node), "free_hugepages");
  return Math.min(unreserved, freeOnNode ?? unreserved);
}

/** Returns how many more pages of a size the kernel may allocate on demand (nr_overcommit_hugepages). */
export function overcommitPages(system: System, pageBytes: number): number {
  const directory = hugePageDirectory(pageBytes);
  const limit = counter(system, directory, "nr_overcommit_hugepages") ?? 0;
  return Math.max(0, limit - (counter(system, directory, "surplus_hugepages") ?? 0));
}
