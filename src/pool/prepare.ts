/**
 * `nitro pool`: CPUs for the driver's pool, and huge pages on their node. All of it is done or none: what has been
 * changed is changed back where the rest cannot be had, or where the command is asked to stop. The CPUs come first, for
 * the driver refuses them while an enclave runs, and then nothing has been touched yet.
 */
import { cpuListText } from "../host/cpu/cpu-list.ts";
import { poolShapeOf, readTopology, type Topology } from "../host/cpu/topology.ts";
import { UserError } from "../sys/errors.ts";
import { catchSignals, type Signals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { lockPool } from "./lock.ts";
import { FatalPoolError, readPool, restorePool, writePool } from "./ne-cpus.ts";
import { NodePages } from "./node-pages.ts";
import { bytesOf, cpusOnNode, freeCores, type PageCounts, type PoolRequest, validateCpus } from "./plan.ts";

/** The pool and its node's huge pages after a command, and whether it had to change them. */
export interface PreparedPool {
  readonly pool: readonly number[];
  readonly poolChanged: boolean;
  /** The pool's; undefined where it is empty, and so on none. */
  readonly poolNode: number | undefined;
  /** Where the pages are. */
  readonly node: number;
  readonly pages: PageCounts;
  readonly pagesChanged: boolean;
  /** Huge pages of other nodes, which enclaves of this pool cannot have. */
  readonly elsewhere: readonly { readonly node: number; readonly pages: PageCounts }[];
  readonly topology: Topology;
}

/** Prepares the parent. Throws UserError where that cannot be done as a whole; everything is as it was then. */
export function preparePool(
  system: System,
  request: PoolRequest,
  report: (line: string) => void,
): PreparedPool {
  using signals = catchSignals(system);
  readPool(system); // without a driver there is nothing to wait for
  using _lock = lockPool(system, report, signals);
  return prepareLocked(system, request, readPool(system), signals);
}

function prepareLocked(
  system: System,
  request: PoolRequest,
  before: readonly number[],
  signals: Signals,
): PreparedPool {
  const topology = readTopology(system);
  if (request.cpus !== undefined) validateCpus(topology, request.cpus, before);
  const check = () => {
    const signal = signals.next();
    if (signal === undefined) return;
    throw new FatalPoolError("pool", `stopped by ${signal}`, "start it again");
  };
  const refusals: UserError[] = [];
  for (const { node, cpus } of candidates(system, topology, request, before)) {
    try {
      return attempt({ system, topology, before, check }, request, node, cpus);
    } catch (error) {
      if (!(error instanceof UserError) || error instanceof FatalPoolError) throw error;
      refusals.push(error);
    }
  }
  throw ofAll(refusals);
}

/** One failure of those that each node has brought. */
function ofAll([first, ...others]: readonly UserError[]): UserError {
  const { what, why, hint } = first ?? new UserError("pool", "there is no node");
  const also = others.filter((each) => each.why !== why).map((each) => `; ${each.what}: ${each.why}`);
  return new UserError(what, `${why}${also.join("")}`, hint);
}

interface Candidate {
  readonly node: number;
  /** The pool that it would have; undefined leaves it. */
  readonly cpus: readonly number[] | undefined;
}

/** The nodes that could have the pool, the likeliest first. Throws UserError where none could. */
function candidates(
  system: System,
  topology: Topology,
  request: PoolRequest,
  pool: readonly number[],
): Candidate[] {
  const nodes = topology.nodes.length === 0 ? [0] : topology.nodes;
  const current = topology.cores.find(({ cpus }) => cpus.includes(pool[0] ?? -1))?.node;
  const looked = nodes.filter((node) => request.node === undefined || request.node.value === node);
  if (request.node !== undefined && looked.length === 0) {
    throw new UserError(
      request.node.typed,
      "there is no such NUMA node",
      `the nodes are ${cpuListText(nodes)}`,
    );
  }
  const { cpus, memory } = request;
  if (cpus === undefined) return [{ node: nodeOfPages(nodes, current, request), cpus: undefined }];
  const possible = looked.flatMap((node) => {
    const chosen = cpusOnNode(topology, cpus, node, pool);
    return chosen === undefined ? [] : [{ node, cpus: chosen }];
  });
  if (possible.length === 0) throw tooFewCpus(topology, cpus.typed, looked, pool);
  const wanted = memory?.bytes.reduce((all, bytes) => all + bytes, 0) ?? 0;
  const rank = ({ node }: Candidate) => {
    const pages = pagesOf(system, topology, node);
    const reserved = bytesOf(pages.counts());
    const lacks = reserved + pages.obtainableBytes() < wanted ? 4 : 0;
    return lacks + (node === current ? 0 : 2) + (wanted > 0 && reserved >= wanted ? 0 : 1);
  };
  const ranked = possible.map((candidate) => ({ candidate, rank: rank(candidate) }));
  return ranked
    .sort((a, b) => a.rank - b.rank || a.candidate.node - b.candidate.node)
    .map(({ candidate }) => candidate);
}

/** Where huge pages go whose CPUs are not asked for. */
function nodeOfPages(
  nodes: readonly number[],
  current: number | undefined,
  { node, memory }: PoolRequest,
): number {
  const bytes = memory?.bytes.reduce((all, each) => all + each, 0) ?? 0;
  if (node !== undefined && current !== undefined && node.value !== current && bytes > 0) {
    throw new UserError(
      node.typed,
      `the CPU pool is on NUMA node ${current}, and its enclaves cannot have pages of another`,
      `leave out ${node.typed}, or let the CPUs come from there as well: --cpus N`,
    );
  }
  const only = node?.value ?? current ?? (nodes.length === 1 ? nodes[0] : undefined);
  if (only !== undefined) return only;
  throw new UserError(
    memory?.typed ?? "--memory",
    `the CPU pool is empty, so nothing tells which of the NUMA nodes ${cpuListText(nodes)} the pages are to be on`,
    "give --cpus as well, or --node",
  );
}

function tooFewCpus(
  topology: Topology,
  typed: string,
  nodes: readonly number[],
  pool: readonly number[],
): UserError {
  const threads = topology.threadsPerCore;
  const counts = nodes.map((node) => ({ node, cpus: freeCores(topology, node, pool).length * threads }));
  const most = Math.max(0, ...counts.map(({ cpus }) => cpus));
  const each = counts.map(({ node, cpus }) => `${cpus} on NUMA node ${node}`).join(", ");
  return new UserError(
    typed,
    `the driver takes whole cores of one NUMA node, without CPU 0's; there are ${each}`,
    most === 0
      ? "use an instance type with more CPUs: an enclave takes a whole core"
      : `use --cpus ${most} or less`,
  );
}

interface Scene {
  readonly system: System;
  readonly topology: Topology;
  readonly before: readonly number[];
  /** Throws where the command is asked to stop. */
  readonly check: () => void;
}

function attempt(
  scene: Scene,
  request: PoolRequest,
  node: number,
  cpus: readonly number[] | undefined,
): PreparedPool {
  const { system, topology, before, check } = scene;
  const pages = pagesOf(system, topology, node, check);
  const countsBefore = pages.counts();
  const poolChanged = cpus !== undefined && !isPool(cpus, before, topology);
  let pagesChanged = false;
  check();
  if (poolChanged) writePool(system, cpus, before);
  try {
    check();
    if (request.memory !== undefined) pagesChanged = pages.provide(request.memory.bytes);
    check();
  } catch (error) {
    // Whatever signals come now, this is done to its end.
    const left = [
      pagesOf(system, topology, node).restore(countsBefore),
      poolChanged ? restorePool(system, before) : undefined,
    ];
    throw withRemains(
      error,
      left.filter((each) => each !== undefined),
    );
  }
  const pool = cpus ?? before;
  return {
    pool,
    poolChanged,
    poolNode: poolShapeOf(topology, pool).nodes[0],
    node,
    pages: pages.counts(),
    pagesChanged,
    elsewhere: pool.length === 0 ? [] : pagesElsewhere(system, topology, pool),
    topology,
  };
}

/** Whether these CPUs are the pool already: a CPU of the list that is online has been taken out of it by somebody. */
function isPool(cpus: readonly number[], before: readonly number[], topology: Topology): boolean {
  return cpuListText(cpus) === cpuListText(before) && !cpus.some((cpu) => topology.online.includes(cpu));
}

function pagesElsewhere(
  system: System,
  topology: Topology,
  pool: readonly number[],
): PreparedPool["elsewhere"][number][] {
  const [own] = poolShapeOf(topology, pool).nodes;
  return topology.nodes
    .filter((node) => node !== own)
    .map((node) => ({ node, pages: pagesOf(system, topology, node).counts() }))
    .filter(({ pages }) => bytesOf(pages) > 0);
}

function pagesOf(system: System, topology: Topology, node: number, check?: () => void): NodePages {
  return new NodePages(system, topology.nodes.length === 0 ? undefined : node, check);
}

/** A failure tells whether everything could be put back. */
function withRemains(error: unknown, remains: readonly string[]): unknown {
  if (!(error instanceof UserError)) return error;
  const after =
    remains.length === 0 ? "everything is as it was" : `not all could be put back: ${remains.join(", ")}`;
  const Kind = error instanceof FatalPoolError ? FatalPoolError : UserError;
  return new Kind(error.what, `${error.why}; ${after}`, error.hint);
}
