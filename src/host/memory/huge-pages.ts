/** The parent's huge pages, as sysfs counts them: of the whole machine and of each NUMA node. */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";

/** Where the counters of pages of a size stand, for the whole machine or for one NUMA node. */
export function hugePageDirectory(pageBytes: number, node?: number): string {
  const place = node === undefined ? "/sys/kernel/mm" : `/sys/devices/system/node/node${node}`;
  return `${place}/hugepages/hugepages-${pageBytes / 1024}kB`;
}

/** Pages of one size; a figure that cannot be read is undefined. */
export interface HugePages {
  readonly total: number | undefined;
  readonly free: number | undefined;
  /** Promised to mappings that have not touched them yet, so not to be had; counted for the whole machine only. */
  readonly reserved: number | undefined;
  /** Beyond the pool's size (overcommit): gone when they are given back. */
  readonly surplus: number | undefined;
}

/** One counter of a directory; undefined where it cannot be read. */
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
 * How many pages a launch can have: those that are free and not promised to anybody; on a node, at most so many of the
 * node's own. Undefined where the kernel has no pages of that size. A launch asks for no more files than it takes.
 */
export function availablePages(system: System, pageBytes: number, node?: number): number | undefined {
  const directory = hugePageDirectory(pageBytes);
  const free = counter(system, directory, "free_hugepages");
  if (free === undefined) return undefined;
  const everywhere = Math.max(0, free - (counter(system, directory, "resv_hugepages") ?? 0));
  if (node === undefined) return everywhere;
  // Without NUMA there are no directories of nodes: the machine's pages are the node's.
  const own = counter(system, hugePageDirectory(pageBytes, node), "free_hugepages");
  return Math.min(everywhere, own ?? everywhere);
}

/** Pages of a size that the kernel would make when they are asked for, beyond those that there are (overcommit). */
export function overcommitPages(system: System, pageBytes: number): number {
  const directory = hugePageDirectory(pageBytes);
  const most = counter(system, directory, "nr_overcommit_hugepages") ?? 0;
  return Math.max(0, most - (counter(system, directory, "surplus_hugepages") ?? 0));
}
