/** The hardware of a parent instance: sockets, nodes, cores and threads, numbered as EC2 numbers them. */

/** The description of the hardware; missing fields are those of the preset. */
export interface TopologyInput {
  /** The instance type, which is the product's name in the firmware. */
  instance: string;
  /** The architecture of uname(2) and of the processor's files. */
  arch: "x86_64" | "aarch64";
  /** Processor packages. */
  sockets: number;
  /** NUMA nodes of equal size. */
  nodes: number;
  /** Cores of the whole instance. */
  cores: number;
  /** Threads of a core. */
  threadsPerCore: number;
  /** `split`: CPU i and CPU i + cores share a core; `adjacent`: CPU 2i and CPU 2i + 1. */
  numbering: "split" | "adjacent";
  /** Memory of all nodes together. */
  memoryMiB: number;
  /** The processor's name. */
  processor: string;
}

/** One CPU as the kernel numbers it. */
export interface Cpu {
  id: number;
  /** The core's number in the whole instance; sysfs has the number within the socket. */
  core: number;
  /** The core_id in sysfs. */
  coreId: number;
  socket: number;
  node: number;
}

/** The hardware, with the position of each CPU. */
export interface Topology extends TopologyInput {
  cpus: readonly Cpu[];
}

/** Computes the position of each CPU. */
export function layOut(input: TopologyInput): Topology {
  const { cores, threadsPerCore, sockets, nodes, numbering } = input;
  const ofSocket = Math.max(1, Math.floor(cores / sockets));
  const ofNode = Math.max(1, Math.floor(cores / nodes));
  const cpus = Array.from({ length: cores * threadsPerCore }, (_, id): Cpu => {
    const core = numbering === "split" ? id % cores : Math.floor(id / threadsPerCore);
    return {
      id,
      core,
      coreId: core % ofSocket,
      socket: Math.floor(core / ofSocket),
      node: Math.floor(core / ofNode),
    };
  });
  return { ...input, cpus };
}

/** Returns the hardware of a scenario that has only numbers of CPUs and threads: one node. */
export function plainTopology(cpus: number, threadsPerCore: number): Topology {
  const cores = Math.max(1, Math.floor(cpus / threadsPerCore));
  const plain = layOut({
    ...{ instance: "", arch: "x86_64", sockets: 1, nodes: 1, cores, threadsPerCore: 1, numbering: "split" },
    ...{ memoryMiB: 0, processor: "" },
  });
  const all = Array.from({ length: cpus }, (_, id): Cpu => {
    const core = id % cores;
    return { id, core, coreId: core, socket: 0, node: 0 };
  });
  return { ...plain, threadsPerCore, cpus: all };
}

/** Returns the CPUs that share a CPU's core, including itself. */
export function siblingsOf(topology: Topology, cpu: number): number[] {
  const core = topology.cpus[cpu]?.core;
  return topology.cpus.filter((other) => other.core === core).map(({ id }) => id);
}
