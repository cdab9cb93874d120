/** The parent's CPUs: threads of a core, and the driver's pool. */
import { readSmallFile } from "../sys/files.ts";
import type { System } from "../sys/system.ts";

/**
 * Threads of one core. CPU 0 is asked, for it is never in the pool: the topology of a pool CPU, which is offline,
 * cannot be read. Where sysfs says nothing: 2 on x86_64, 1 on aarch64, as EC2 has them.
 */
export function threadsPerCore(system: System): number {
  const list = readSmallFile(system, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")?.trim();
  return countCpus(list) ?? (process.arch === "arm64" ? 1 : 2);
}

/** How many CPUs a list such as `0,4` or `0-1` names; undefined where it is not one. */
export function countCpus(list: string | undefined): number | undefined {
  if (list === undefined || !/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(list)) return undefined;
  let count = 0;
  for (const range of list.split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (last < first) return undefined;
    count += last - first + 1;
  }
  return count;
}

/** The pool's CPU list; "" while it is empty, undefined where the driver is not loaded. */
export function cpuPool(system: System): string | undefined {
  return readSmallFile(system, "/sys/module/nitro_enclaves/parameters/ne_cpus")?.trim();
}
