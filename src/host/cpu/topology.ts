/**
 * All CPUs of the parent as cores on nodes. A CPU that is offline (the pool's are) has lost its topology/ directory:
 * its core is told by the pattern of CPU 0's, for EC2's machines are regular, and its node by the link that stays.
 */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { ascending, parseCpuList } from "./cpu-list.ts";
import { CPU_DIRECTORY, siblingsOfCpu0 } from "./cpus.ts";
import { nodeOfCpu, numaNodes } from "./nodes.ts";

/** A core: all of its threads are on one node. */
export interface Core {
  /** Its threads, ascending. */
  readonly cpus: readonly number[];
  readonly node: number;
  /** The kernel's number of the core, which the driver keeps its books by; undefined while a thread is offline. */
  readonly coreId: number | undefined;
}

/** The CPUs of a machine. */
export interface Topology {
  readonly present: readonly number[];
  readonly online: readonly number[];
  readonly threadsPerCore: number;
  /** By their first thread, ascending; CPU 0's is the first. */
  readonly cores: readonly Core[];
  /** The nodes that are there; none where the kernel knows no NUMA. */
  readonly nodes: readonly number[];
  /** Cores that the driver can keep books of: a core id must be below this. */
  readonly maxCores: number;
}

/**
 * The threads of a CPU's core, by CPU 0's pattern: with siblings 0,8 those of CPU 3 are 3 and 11, with 0-1 those of CPU
 * 5 are 4 and 5.
 */
export function siblingsByPattern(cpu: number, siblingsOf0: readonly number[]): number[] {
  const stride = siblingsOf0[1] ?? 1;
  const span = stride * siblingsOf0.length;
  const first = Math.floor(cpu / span) * span + (cpu % stride);
  return siblingsOf0.map((_, thread) => first + thread * stride);
}

/** Reads all of it: three files and up to two for each CPU. */
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
    const cpus = siblingsOf(system, cpu, siblingsOf0).filter((each) => all.includes(each));
    for (const each of cpus) seen.add(each);
    cores.push({ cpus, node: nodeOfCpu(system, cpu, nodes) ?? 0, coreId: coreIdOf(system, cpu) });
  }
  const possible = list("possible").at(-1) ?? all.at(-1) ?? 0;
  const threads = siblingsOf0.length;
  const maxCores = Math.floor((possible + 1) / threads);
  return { present: all, online, threadsPerCore: threads, cores, nodes, maxCores };
}

/** What the kernel says of an online CPU holds, unless threads of its core are offline, which it leaves out. */
function siblingsOf(system: System, cpu: number, siblingsOf0: readonly number[]): number[] {
  const list = readSmallFile(system, `${CPU_DIRECTORY}/cpu${cpu}/topology/thread_siblings_list`);
  const told = parseCpuList(list ?? "") ?? [];
  return told.length >= siblingsOf0.length ? told : siblingsByPattern(cpu, siblingsOf0);
}

function coreIdOf(system: System, cpu: number): number | undefined {
  const text = readSmallFile(system, `${CPU_DIRECTORY}/cpu${cpu}/topology/core_id`)?.trim();
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** The core that a CPU is a thread of; undefined where there is no such CPU. */
export function coreOf(topology: Topology, cpu: number): Core | undefined {
  return topology.cores.find(({ cpus }) => cpus.includes(cpu));
}

/** How a list of CPUs stands to the driver's rules for its pool. */
export interface PoolShape {
  /** Whole cores that the list has. */
  readonly cores: readonly Core[];
  /** Threads that the list lacks of cores that it has a part of. */
  readonly missing: readonly number[];
  /** CPUs that there are none of. */
  readonly absent: readonly number[];
  /** The nodes of its cores, ascending: the driver takes one. */
  readonly nodes: readonly number[];
  /** Whether it has CPU 0 or another thread of its core. */
  readonly hasCore0: boolean;
}

/** Looks at a list of CPUs by the driver's rules (ne_setup_cpu_pool): whole cores of one node, not CPU 0's. */
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
