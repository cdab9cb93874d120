/** On which NUMA nodes a requested pool is possible, and which of them to try first. */
import { cpuListText } from "../host/cpu/cpu-list.ts";
import { coreOf, type Topology } from "../host/cpu/topology.ts";
import { rangesBytes } from "../host/memory/huge-pages.ts";
import { UserError } from "../sys/errors.ts";
import type { System } from "../sys/system.ts";
import { NodePages } from "./node-pages.ts";
import { type CpuRequest, cpusOnNode, maxCpus, nodesOf, type PoolRequest, validateCpus } from "./plan.ts";

/** A pool on one node. */
export interface NodePlan {
  readonly node: number;
  /** The pool's CPUs; undefined leaves them as they are. */
  readonly cpus: readonly number[] | undefined;
}

/** Returns the possible plans, best first. Throws UserError if there is none. @param pool the present pool's CPUs. */
export function planPool(
  system: System,
  topology: Topology,
  request: PoolRequest,
  pool: readonly number[],
): NodePlan[] {
  if (request.cpus !== undefined) validateCpus(topology, request.cpus, pool);
  const current = pool[0] === undefined ? undefined : coreOf(topology, pool[0])?.node;
  const nodes = requestedNodes(topology, request);
  const { cpus } = request;
  if (cpus === undefined) return [{ node: nodeForPages(topology, current, request), cpus: undefined }];
  const plans = nodes.flatMap((node) => {
    const chosen = cpusOnNode(topology, cpus, node, pool);
    return chosen === undefined ? [] : [{ node, cpus: chosen }];
  });
  if (plans.length === 0) throw tooFewCpus(topology, cpus, nodes, pool);
  const ranks = new Map(plans.map(({ node }) => [node, rankOf(system, topology, request, node, current)]));
  const rank = ({ node }: NodePlan) => ranks.get(node) ?? 0;
  return plans.sort((a, b) => rank(a) - rank(b) || a.node - b.node);
}

function requestedNodes(topology: Topology, { node }: PoolRequest): readonly number[] {
  const nodes = nodesOf(topology);
  if (node === undefined) return nodes;
  if (nodes.includes(node.value)) return [node.value];
  throw new UserError(
    node.typed,
    `NUMA node ${node.value} does not exist`,
    `the nodes are ${cpuListText(nodes)}`,
  );
}

/** Lower is better: first a node with enough memory, then the present pool's node, then one with the pages reserved. */
function rankOf(
  system: System,
  topology: Topology,
  request: PoolRequest,
  node: number,
  current: number | undefined,
): number {
  const needed = memoryOf(request);
  const pages = new NodePages(system, topology, node);
  const reserved = rangesBytes(pages.counts());
  return (
    (reserved + pages.obtainableBytes() < needed ? 4 : 0) +
    (node === current ? 0 : 2) +
    (needed > 0 && reserved >= needed ? 0 : 1)
  );
}

function memoryOf({ memory }: PoolRequest): number {
  return memory?.bytes.reduce((sum, bytes) => sum + bytes, 0) ?? 0;
}

/** Chooses the node of huge pages that are requested without CPUs. */
function nodeForPages(topology: Topology, current: number | undefined, request: PoolRequest): number {
  const { node, memory } = request;
  if (node !== undefined && current !== undefined && node.value !== current && memoryOf(request) > 0) {
    throw new UserError(
      node.typed,
      `the CPU pool is on NUMA node ${current}, and its enclaves cannot use memory of another node`,
      `leave out ${node.typed}, or move the pool as well: --cpus N`,
    );
  }
  const nodes = nodesOf(topology);
  const chosen = node?.value ?? current ?? (nodes.length === 1 ? nodes[0] : undefined);
  if (chosen !== undefined) return chosen;
  throw new UserError(
    memory?.typed ?? "--memory",
    `the CPU pool is empty, so the huge pages could be on any of the NUMA nodes ${cpuListText(nodes)}`,
    "add --cpus, or --node",
  );
}

function tooFewCpus(
  topology: Topology,
  { typed }: CpuRequest,
  nodes: readonly number[],
  pool: readonly number[],
): UserError {
  const most = maxCpus(topology, pool, nodes);
  const hint =
    most === 0
      ? "use a larger instance type: CPU 0's core stays with the parent"
      : `use --cpus ${most} or fewer, or a larger instance type`;
  const cpus = `can give enclaves at most ${most} CPUs`;
  const [only] = nodes;
  if (nodesOf(topology).length === 1) return new UserError(typed, `this instance ${cpus}`, hint);
  if (nodes.length === 1) return new UserError(typed, `NUMA node ${only} ${cpus}`, hint);
  const perNode = nodes.map((node) => `node ${node}: ${maxCpus(topology, pool, [node])}`).join(", ");
  return new UserError(typed, `this instance ${cpus} of one NUMA node (${perNode})`, hint);
}
