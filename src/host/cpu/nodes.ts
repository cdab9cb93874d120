/**
 * NUMA nodes, as far as a launch needs them: the pool's own, from which all of an enclave's memory must come. A CPU of
 * the pool is offline, so no node lists it any more, but the link to its node stays in its directory.
 */
import { pathExists, readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { parseCpuList } from "./cpu-list.ts";
import { CPU_DIRECTORY, poolCpus } from "./cpus.ts";

/** The directory of a node, or of all of them. */
export const NODE_DIRECTORY = "/sys/devices/system/node";

/** The nodes that are there, ascending; none where the kernel knows no NUMA, which is as one node 0. */
export function numaNodes(system: System): number[] {
  return parseCpuList(readSmallFile(system, `${NODE_DIRECTORY}/online`) ?? "") ?? [];
}

/**
 * The node of a CPU, online or not; undefined where there is no such CPU.
 * @param nodes as numaNodes gives them: one node, or none, is an answer by itself.
 */
export function nodeOfCpu(system: System, cpu: number, nodes: readonly number[]): number | undefined {
  if (nodes.length <= 1) return nodes[0] ?? 0;
  return nodes.find((node) => pathExists(system, `${CPU_DIRECTORY}/cpu${cpu}/node${node}`));
}

/** The node of the driver's pool, which is one by the driver's rules; undefined while the pool is empty. */
export function poolNode(system: System): number | undefined {
  const [first] = poolCpus(system);
  return first === undefined ? undefined : nodeOfCpu(system, first, numaNodes(system));
}
