/**
 * All CPUs of the parent, grouped into cores and NUMA nodes. An offline CPU, such as one of the pool, has no topology/
 * directory in sysfs: its core follows from CPU 0's siblings, since EC2's machines are regular, and its node from the
 * link that remains.
 */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { CPU_DIRECTORY } from "../paths.ts";
import { ascending, parseCpuList } from "./cpu-list.ts";
import { siblingsOfCpu0 } from "./cpus.ts";
import { nodeOfCpu, numaNodes } from "./nodes.ts";

/** A core; all of its threads are on one node. */
export interface Core {
  /** Its threads in ascending order. */
  readonly cpus: readonly number[];
  readonly node: number;
  /** The kernel's core id, by which the driver indexes its cores; undefined while one of the threads is offline. */
  readonly coreId: number | undefined;
}

/** The CPUs of a machine. */
export interface Topology {
  readonly present: readonly number[];
  readonly online: readonly number[];
  readonly threadsPerCore: number;
  /** Ordered by first thread, so CPU 0's core comes first. */
  readonly cores: readonly Core[];
  /** Empty on a kernel without NUMA. */
  readonly nodes: readonly number[];
  /** The driver accepts only core ids below this (ne_setup_cpu_pool: nr_parent_vm_cores). */
  readonly maxCores: number;
}

/**
 * Returns the threads of a CPU's core by the pattern of CPU 0's: with siblings 0,8 those of CPU 3 are 3 and 11; with
 * siblings 0-1 those of CPU 5 are 4 and 5.
 */
export function siblingsByPattern(cpu: number, siblingsOf0: readonly number[]): number[] {
  const stride = siblingsOf0[1] ?? 1;
  const span = stride * siblingsOf0.length;
  const first = Math.floor(cpu / span) * span + (cpu % stride);
  return siblingsOf0.map((_, thread) => first + thread * stride);
}

/** Reads the topology from sysfs: three files, and up to two per CPU. */
export function readTopology(system: System): Topology {
  const list = (name: string) => parseCpuList(readSmallFile(system, `${CPU_DIRECTORY}/${name}`) ?? "") ?? [];
  const online = list("online");
  const present = list("present");
  const siblingsOf0 = siblingsOfCpu0(system);
  const nodes = numaNodes(system);
  const all = present.length > 0 ? present : online;
  const seen = new Set<number>();
  const cores: Core[] = [];
  for (const cpu of all) {
    if (seen.has(cpu)) continue;
    const cpus = siblingsOf(system, cpu, siblingsOf0).filter((sibling) => all.includes(sibling));
    for (const sibling of cpus) seen.add(sibling);
    cores.push({ cpus, node: nodeOfCpu(system, cpu, nodes) ?? 0, coreId: coreIdOf(system, cpu) });
  }
  const lastPossible = list("possible").at(-1) ?? all.at(-1) ?? 0;
  const threads = siblingsOf0.length;
  const maxCores = Math.floor((lastPossible + 1) / threads);
  return { present: all, online, threadsPerCore: threads, cores, nodes, maxCores };
}

/** The kernel's list is complete only while all threads of the core are online; otherwise the pattern decides. */
function siblingsOf(system: System, cpu: number, siblingsOf0: readonly number[]): number[] {
  const list = readSmallFile(system, `${CPU_DIRECTORY}/cpu${cpu}/topology/thread_siblings_list`);
  const reported = parseCpuList(list ?? "") ?? [];
  return reported.length >= siblingsOf0.length ? reported : siblingsByPattern(cpu, siblingsOf0);
}

function coreIdOf(system: System, cpu: number): number | undefined {
  const text = readSmallFile(system, `${CPU_DIRECTORY}/cpu${cpu}/topology/core_id`)?.trim();
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Returns the core of a CPU; undefined for a CPU that does not exist. */
export function coreOf(topology: Topology, cpu: number): Core | undefined {
  return topology.cores.find(({ cpus }) => cpus.includes(cpu));
}

/** How a CPU list compares with the driver's rules for its pool. */
export interface PoolShape {
  /** Cores whose threads are all in the list. */
  readonly cores: readonly Core[];
  /** Threads that the list lacks of cores it contains partly. */
  readonly missing: readonly number[];
  /** CPUs of the list that do not exist. */
  readonly absent: readonly number[];
  /** The nodes of its cores in ascending order; the driver accepts one. */
  readonly nodes: readonly number[];
  /** Whether the list contains CPU 0 or another thread of its core. */
  readonly hasCore0: boolean;
}

/** Compares a CPU list with the driver's rules (ne_setup_cpu_pool): whole cores of one node, without CPU 0's core. */
export function poolShapeOf(topology: Topology, list: readonly number[]): PoolShape {
  const touched = topology.cores.filter(({ cpus }) => cpus.some((cpu) => list.includes(cpu)));
  const whole = touched.filter(({ cpus }) => cpus.every((cpu) => list.includes(cpu)));
  return {
    cores: whole,
    missing: touched.flatMap(({ cpus }) => cpus.filter((cpu) => !list.includes(cpu))),
    absent: list.filter((cpu) => !topology.present.includes(cpu)),
    nodes: ascending([...new Set(touched.map(({ node }) => node))]),
    hasCore0: touched.some(({ cpus }) => cpus.includes(0)),
  };
}
