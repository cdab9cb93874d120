/** The parent's CPUs as a launch needs them: threads of a core, the driver's pool. topology.ts knows all of them. */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { parseCpuList } from "./cpu-list.ts";

/** The directory of a CPU, or of all of them. */
export const CPU_DIRECTORY = "/sys/devices/system/cpu";

/** The driver's parameter: its CPU pool as a list. */
export const POOL_PARAMETER = "/sys/module/nitro_enclaves/parameters/ne_cpus";

/**
 * Threads of one core. CPU 0 is asked, for it is never in the pool: the topology of a pool CPU, which is offline,
 * cannot be read. Where sysfs says nothing: 2 on x86_64, 1 on aarch64, as EC2 has them.
 */
export function threadsPerCore(system: System): number {
  return siblingsOfCpu0(system).length;
}

/** CPU 0 and the other threads of its core, as threadsPerCore. */
export function siblingsOfCpu0(system: System): number[] {
  const list = readSmallFile(system, `${CPU_DIRECTORY}/cpu0/topology/thread_siblings_list`);
  const siblings = list === undefined ? undefined : parseCpuList(list);
  if (siblings !== undefined && siblings.length > 0) return siblings;
  return process.arch === "arm64" ? [0] : [0, 1];
}

/** The pool's CPU list; "" while it is empty, undefined where the driver is not loaded. */
export function cpuPool(system: System): string | undefined {
  return readSmallFile(system, POOL_PARAMETER)?.trim();
}

/** The pool's CPUs, ascending; none while it is empty or cannot be read. */
export function poolCpus(system: System): number[] {
  return parseCpuList(cpuPool(system) ?? "") ?? [];
}
