/** Paths of sysfs and procfs that several files read or name in messages. */

/** The directories of all CPUs and of all NUMA nodes (Documentation/ABI/stable/sysfs-devices-node). */
export const CPU_DIRECTORY = "/sys/devices/system/cpu";
export const NODE_DIRECTORY = "/sys/devices/system/node";

/** The huge page counters of the whole machine, a directory per page size. */
export const HUGE_PAGES_DIRECTORY = "/sys/kernel/mm/hugepages";

/** Returns the shell command that brings CPUs online; root must run it. */
export function onlineCommand(cpus: readonly number[]): string {
  return cpus.map((cpu) => `echo 1 > ${CPU_DIRECTORY}/cpu${cpu}/online`).join(" && ");
}
