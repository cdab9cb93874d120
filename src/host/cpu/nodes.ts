/**
 * The parent's NUMA nodes. All of an enclave's memory must come from the node of the CPU pool. A pool CPU is offline
 * and missing from its node's CPU list, but its sysfs directory keeps the link to the node.
 */
import { pathExists, readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { CPU_DIRECTORY, NODE_DIRECTORY } from "../paths.ts";
import { parseCpuList } from "./cpu-list.ts";
import { poolCpus } from "./cpus.ts";

/** Returns the online nodes in ascending order; none on a kernel without NUMA, which counts as a single node 0. */
export function numaNodes(system: System): number[] {
  return parseCpuList(readSmallFile(system, `${NODE_DIRECTORY}/online`) ?? "") ?? [];
}

/**
 * Returns the node of a CPU, online or offline; undefined for a CPU that does not exist.
 * @param nodes the result of numaNodes; with one node or none, the CPU is not looked up.
 */
export function nodeOfCpu(system: System, cpu: number, nodes: readonly number[]): number | undefined {
  if (nodes.length <= 1) return nodes[0] ?? 0;
  return nodes.find((node) => pathExists(system, `${CPU_DIRECTORY}/cpu${cpu}/node${node}`));
}

/** Returns the node of the CPU pool (the driver accepts a single node); undefined while the pool is empty. */
export function poolNode(system: System): number | undefined {
  const [first] = poolCpus(system);
  return first === undefined ? undefined : nodeOfCpu(system, first, numaNodes(system));
}
