/** `nitro pool status` and `nitro pool release`. */

import { type Core, poolShapeOf, readTopology, type Topology } from "../host/cpu/topology.ts";
import { availablePages, hugePages } from "../host/memory/huge-pages.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import { catchSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { lockPool } from "./lock.ts";
import { emptyPool, readPool } from "./ne-cpus.ts";
import { NodePages } from "./node-pages.ts";
import type { PageCounts } from "./plan.ts";

/** Huge pages of one size on one node. */
export interface NodePageCount {
  /** undefined where the kernel knows no NUMA. */
  readonly node: number | undefined;
  readonly pageBytes: number;
  readonly total: number;
  readonly free: number;
}

/** The pool as it is. */
export interface PoolStatus {
  readonly pool: readonly number[];
  readonly cores: readonly Core[];
  readonly node: number | undefined;
  readonly topology: Topology;
  /** Of every node and size that has any. */
  readonly pages: readonly NodePageCount[];
  /** Bytes of huge pages that an enclave of this pool can have. */
  readonly availableBytes: number;
}

const SIZES = [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES];

/** Reads the pool, its cores and all huge pages. Throws UserError where the driver is not loaded. */
export function poolStatus(system: System): PoolStatus {
  const pool = readPool(system);
  const topology = readTopology(system);
  const { cores, nodes } = poolShapeOf(topology, pool);
  const node = nodes[0];
  const places = topology.nodes.length === 0 ? [undefined] : topology.nodes;
  const pages = places.flatMap((place) => SIZES.flatMap((pageBytes) => pagesOn(system, pageBytes, place)));
  const onNode = topology.nodes.length === 0 ? undefined : node;
  const available = SIZES.map((pageBytes) => (availablePages(system, pageBytes, onNode) ?? 0) * pageBytes);
  return {
    pool,
    cores,
    node,
    topology,
    pages,
    availableBytes: node === undefined ? 0 : available.reduce((all, bytes) => all + bytes, 0),
  };
}

function pagesOn(system: System, pageBytes: number, node: number | undefined): NodePageCount[] {
  const { total = 0, free = 0 } = hugePages(system, pageBytes, node);
  return total === 0 ? [] : [{ node, pageBytes, total, free }];
}

/** What was given back. */
export interface ReleasedPool {
  /** The pool's CPUs until then. */
  readonly pool: readonly number[];
  readonly node: number | undefined;
  readonly pagesBefore: PageCounts;
  /** Pages that somebody else holds. */
  readonly pagesLeft: PageCounts;
  readonly topology: Topology;
}

/**
 * Empties the pool and gives its node's huge pages back. Without a pool nothing tells whose the pages are, and they are
 * left. Throws UserError while an enclave runs.
 */
export function releasePool(system: System, report: (line: string) => void): ReleasedPool {
  using signals = catchSignals(system);
  readPool(system); // without a driver there is nothing to wait for
  using _lock = lockPool(system, report, signals);
  const pool = readPool(system);
  const topology = readTopology(system);
  const none = { giant: 0, huge: 0 };
  if (pool.length === 0) return { pool, node: undefined, pagesBefore: none, pagesLeft: none, topology };
  const node = poolShapeOf(topology, pool).nodes[0] ?? 0;
  emptyPool(system);
  const pages = new NodePages(system, topology.nodes.length === 0 ? undefined : node);
  const pagesBefore = pages.all();
  pages.restore(none);
  return { pool, node, pagesBefore, pagesLeft: pages.all(), topology };
}
