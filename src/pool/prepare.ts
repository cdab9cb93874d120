/**
 * `nitro pool`: CPUs for the driver's pool, and huge pages on their node. All of it is done or none: what has been
 * changed is changed back where the rest cannot be had, or where the command is asked to stop. The CPUs come first, for
 * the driver refuses them while an enclave runs, and then nothing has been touched yet.
 */
import { cpuListText } from "../host/cpu-list.ts";
import { readTopology, type Topology } from "../host/topology.ts";
import { Failure } from "../sys/failure.ts";
import { takeSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { readPool, restorePool, writePool } from "./driver-pool.ts";
import { NodePages } from "./node-pages.ts";
import { bytesOf, checkCpus, cpusOnNode, freeCores, type PageCounts, type PoolRequest } from "./plan.ts";

/** The pool and its node's huge pages after a command, and whether it had to change them. */
export interface Prepared {
  readonly pool: readonly number[];
  readonly poolChanged: boolean;
  /** undefined where the pool is empty, and so on no node. */
  readonly node: number | undefined;
  readonly pages: PageCounts;
  readonly pagesChanged: boolean;
  readonly topology: Topology;
}

/** Prepares the parent. Throws Failure where that cannot be done as a whole; everything is as it was then. */
export function prepare(system: System, request: PoolRequest): Prepared {
  using signals = takeSignals(system);
  const before = readPool(system);
  const topology = readTopology(system);
  if (request.cpus !== undefined) checkCpus(topology, request.cpus, before);
  let interrupted = false;
  const check = () => {
    const signal = signals.next();
    if (signal === undefined) return;
    interrupted = true;
    throw new Failure("pool", `stopped by ${signal}; everything is as it was`, "start it again");
  };
  let refused: unknown;
  for (const { node, cpus } of candidates(system, topology, request, before)) {
    try {
      return attempt({ system, topology, before, check }, request, node, cpus);
    } catch (error) {
      // Another node may have what this one has not.
      if (!(error instanceof Failure) || interrupted) throw error;
      refused ??= error;
    }
  }
  throw refused;
}

interface Candidate {
  readonly node: number;
  /** The pool that it would have; undefined leaves it. */
  readonly cpus: readonly number[] | undefined;
}

/** The nodes that could have the pool, the likeliest first. Throws Failure where none could. */
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
    throw new Failure(
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
  const only = node?.value ?? current ?? (nodes.length === 1 ? nodes[0] : undefined);
  if (only !== undefined) return only;
  throw new Failure(
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
): Failure {
  const threads = topology.threadsPerCore;
  const counts = nodes.map((node) => ({ node, cpus: freeCores(topology, node, pool).length * threads }));
  const most = Math.max(0, ...counts.map(({ cpus }) => cpus));
  const each = counts.map(({ node, cpus }) => `${cpus} on NUMA node ${node}`).join(", ");
  return new Failure(
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
): Prepared {
  const { system, topology, before, check } = scene;
  const pages = pagesOf(system, topology, node);
  const countsBefore = pages.counts();
  const poolChanged = cpus !== undefined && cpuListText(cpus) !== cpuListText(before);
  let pagesChanged = false;
  if (poolChanged) writePool(system, cpus, before);
  try {
    check();
    if (request.memory !== undefined) pagesChanged = pages.provide(request.memory.bytes);
    check();
  } catch (error) {
    const left = [pages.restore(countsBefore), poolChanged ? restorePool(system, before) : undefined];
    throw withRemains(
      error,
      left.filter((each) => each !== undefined),
    );
  }
  const pool = cpus ?? before;
  return { pool, poolChanged, node, pages: pages.counts(), pagesChanged, topology };
}

function pagesOf(system: System, topology: Topology, node: number): NodePages {
  return new NodePages(system, topology.nodes.length === 0 ? undefined : node);
}

/** A failure whose undoing has not succeeded says so. */
function withRemains(error: unknown, remains: readonly string[]): unknown {
  if (remains.length === 0 || !(error instanceof Failure)) return error;
  return new Failure(
    error.what,
    `${error.why}; not all could be put back: ${remains.join(", ")}`,
    error.hint,
  );
}
