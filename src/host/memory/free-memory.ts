/** Memory that the kernel could turn into huge pages: free memory, its fragmentation, and the page cache. */
import { readLimited } from "../../sys/files.ts";
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { basePageBytes } from "../../sys/page-map.ts";
import type { System } from "../../sys/system.ts";
import { readMeminfo } from "./meminfo.ts";

/** Memory of one NUMA node or of the whole machine, in bytes. */
export interface FreeMemory {
  readonly free: number;
  /** Page cache, which writing 3 to drop_caches frees. */
  readonly cached: number;
  /** Pages of 2 MiB in contiguous free memory (/proc/buddyinfo); the rest of it needs compaction first. */
  readonly contiguousPages: number;
}

/** Reads the figures; undefined if the kernel does not provide them. @param node undefined for the whole machine. */
export function freeMemory(system: System, node: number | undefined): FreeMemory | undefined {
  const ofNode = node === undefined ? undefined : readMeminfo(system, node);
  const meminfo = ofNode ?? readMeminfo(system);
  const buddyinfo = readLimited(system, "/proc/buddyinfo");
  if (meminfo === undefined || buddyinfo === undefined) return undefined;
  return {
    free: meminfo("MemFree"),
    cached: meminfo("Active(file)") + meminfo("Inactive(file)"),
    contiguousPages: contiguousPages(buddyinfo, ofNode && node, basePageBytes(system)),
  };
}

/** A block of order n is 2^n contiguous base pages (mm/page_alloc.c). */
function contiguousPages(buddyinfo: string, node: number | undefined, basePage: number): number {
  const hugeOrder = Math.log2(HUGE_PAGE_BYTES / basePage);
  let pages = 0;
  for (const [, zoneNode, counts = ""] of buddyinfo.matchAll(/^Node (\d+), zone +\S+((?: +\d+)+)/gm)) {
    if (node !== undefined && Number(zoneNode) !== node) continue;
    for (const [order, count] of counts.trim().split(/ +/).entries()) {
      if (order >= hugeOrder) pages += Number(count) * 2 ** (order - hugeOrder);
    }
  }
  return pages;
}
