/** What every launch needs to know about the parent's CPUs: threads per core, and the driver's CPU pool. */
import { readSmallFile } from "../../sys/files.ts";
import { NE_CPUS_PARAMETER } from "../../sys/linux/nitro_enclaves.ts";
import type { System } from "../../sys/system.ts";
import { CPU_DIRECTORY } from "../paths.ts";
import { parseCpuList } from "./cpu-list.ts";

/** Returns the number of threads per core. If sysfs does not say, EC2's: 2 on x86_64, 1 on aarch64. */
export function threadsPerCore(system: System): number {
  return siblingsOfCpu0(system).length;
}

/**
 * Returns CPU 0 and the other threads of its core. CPU 0 serves as the pattern for all cores: it is never in the pool,
 * whereas a pool CPU is offline, and sysfs has no topology for an offline CPU.
 */
export function siblingsOfCpu0(system: System): number[] {
  const list = readSmallFile(system, `${CPU_DIRECTORY}/cpu0/topology/thread_siblings_list`);
  const siblings = list === undefined ? undefined : parseCpuList(list);
  if (siblings !== undefined && siblings.length > 0) return siblings;
  return process.arch === "arm64" ? [0] : [0, 1];
}

/** Returns the pool's CPU list as the driver prints it: "" while it is empty, undefined if the driver is not loaded. */
export function cpuPool(system: System): string | undefined {
  return readSmallFile(system, NE_CPUS_PARAMETER)?.trim();
}

/** Returns the pool's CPUs in ascending order; none if the pool is empty or cannot be read. */
export function poolCpus(system: System): number[] {
  return parseCpuList(cpuPool(system) ?? "") ?? [];
}
