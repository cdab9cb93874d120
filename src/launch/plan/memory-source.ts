/**
 * Where an enclave's memory comes from. The driver accepts only pages on the NUMA node of the CPU pool, and loses a
 * page for good with each one that it refuses.
 */
import { poolCpus } from "../../host/cpu/cpus.ts";
import { nodeOfCpu, numaNodes } from "../../host/cpu/nodes.ts";
import { UserError } from "../../sys/errors.ts";
import type { System } from "../../sys/system.ts";
import type { MemoryBackend } from "../options.ts";
import type { MemorySize } from "./memory.ts";

/** The memory that a launch needs. */
export interface MemoryDemand {
  readonly size: MemorySize;
  readonly backend: MemoryBackend | undefined;
  readonly imageBytes: number;
  /** The vCPUs of the launch, for the fix of an empty pool; undefined if it is reported separately. */
  readonly vcpus?: number;
}

/** Where the memory may come from. */
export interface MemorySource {
  /** The NUMA nodes of the parent instance. */
  readonly nodes: readonly number[];
  /** The node of the CPU pool, if there are several nodes and the pool is known. */
  readonly node: number | undefined;
}

/**
 * Reads the nodes, and the node of the CPU pool if there are several. Throws UserError if -object requires memory on
 * another node.
 */
export function memorySource(system: System, backend: MemoryBackend | undefined): MemorySource {
  const nodes = numaNodes(system);
  const [first] = nodes.length <= 1 ? [] : poolCpus(system);
  const source = { nodes, node: first === undefined ? undefined : nodeOfCpu(system, first, nodes) };
  checkPolicy(backend, source);
  return source;
}

function checkPolicy(backend: MemoryBackend | undefined, { nodes, node }: MemorySource): void {
  if (backend === undefined || backend.policy === "default") return;
  const { hostNodes, policy, typed } = backend;
  const there = nodes.length === 0 ? [0] : nodes;
  const absent = hostNodes.filter((each) => !there.includes(each));
  if (absent.length > 0) {
    const which = there.length === 1 ? `node ${there[0]} only` : `nodes ${there.join(", ")}`;
    throw new UserError(typed, `host-nodes: there is no NUMA node ${absent[0]}; this machine has ${which}`);
  }
  if (node === undefined) return;
  const others = hostNodes.filter((each) => each !== node);
  if (hostNodes.includes(node) && (others.length === 0 || policy === "bind")) return;
  const why =
    policy === "interleave" && hostNodes.includes(node)
      ? `interleave would put pages on node ${others.join(" and ")}`
      : `host-nodes is ${hostNodes.join(" and ")}`;
  throw new UserError(
    typed,
    `${why}, but the CPU pool is on NUMA node ${node}, and an enclave's memory must be there too`,
    `use policy=bind,host-nodes=${node}, or leave out -object: memory is bound to the pool's node anyway`,
  );
}
