/** Memory that huge pages could be made of: what is free, in which pieces, and what is cached from files. */
import { readLimited } from "../../sys/files.ts";
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { basePageBytes } from "../../sys/page-map.ts";
import type { System } from "../../sys/system.ts";
import { NODE_DIRECTORY } from "../cpu/nodes.ts";

/** Memory of one NUMA node or of the whole machine, in bytes. */
export interface FreeMemory {
  readonly free: number;
  /** Page cache, which writing 3 to drop_caches makes free. */
  readonly cached: number;
  /** Pages of 2 MiB that free memory has in one piece (/proc/buddyinfo); the rest needs compaction first. */
  readonly contiguousPages: number;
}

const MOST_TEXT_BYTES = 256 * 1024;

/** Reads the figures; undefined where the kernel does not tell them. @param node undefined: of the whole machine. */
export function freeMemory(system: System, node: number | undefined): FreeMemory | undefined {
  const own =
    node === undefined
      ? undefined
      : readLimited(system, `${NODE_DIRECTORY}/node${node}/meminfo`, MOST_TEXT_BYTES);
  const text = own ?? readLimited(system, "/proc/meminfo", MOST_TEXT_BYTES);
  const buddies = readLimited(system, "/proc/buddyinfo", MOST_TEXT_BYTES);
  if (text === undefined || buddies === undefined) return undefined;
  const bytes = (name: string) =>
    1024 * Number(new RegExp(`^(?:Node \\d+ )?${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);
  return {
    free: bytes("MemFree"),
    cached: bytes("Active\\(file\\)") + bytes("Inactive\\(file\\)"),
    contiguousPages: contiguousPages(buddies, own === undefined ? undefined : node, basePageBytes(system)),
  };
}

/** Blocks of an order are of 2^order base pages, side by side (mm/page_alloc.c). */
function contiguousPages(text: string, node: number | undefined, basePage: number): number {
  const order = Math.log2(HUGE_PAGE_BYTES / basePage);
  let pages = 0;
  for (const [, place, counts = ""] of text.matchAll(/^Node (\d+), zone +\S+((?: +\d+)+)/gm)) {
    if (node !== undefined && Number(place) !== node) continue;
    for (const [i, count] of counts.trim().split(/ +/).entries()) {
      if (i >= order) pages += Number(count) * 2 ** (i - order);
    }
  }
  return pages;
}
