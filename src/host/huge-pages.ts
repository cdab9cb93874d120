/** The parent's huge pages, as sysfs counts them. Asked only when a message needs the numbers. */
import { readSmallFile } from "../sys/files.ts";
import type { System } from "../sys/system.ts";

/** Where the counters of pages of a size stand, for the whole machine or for one NUMA node. */
export function hugePageFolder(pageBytes: number, node?: number): string {
  const place = node === undefined ? "/sys/kernel/mm" : `/sys/devices/system/node/node${node}`;
  return `${place}/hugepages/hugepages-${pageBytes / 1024}kB`;
}

/** Pages of one size; a figure that cannot be read is undefined. */
export interface HugePages {
  readonly total: number | undefined;
  readonly free: number | undefined;
  /** Promised to mappings that have not touched them yet: not to be had by others. */
  readonly reserved: number | undefined;
}

/** Reads the counters of the whole machine. */
export function hugePages(system: System, pageBytes: number): HugePages {
  const folder = hugePageFolder(pageBytes);
  const figure = (name: string) => {
    const text = readSmallFile(system, `${folder}/${name}`)?.trim();
    return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  };
  return {
    total: figure("nr_hugepages"),
    free: figure("free_hugepages"),
    reserved: figure("resv_hugepages"),
  };
}
