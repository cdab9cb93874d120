/** `nitro pool status` and `nitro pool release`. */
import { type Core, poolShapeOf, readTopology, type Topology } from "../host/cpu/topology.ts";
import { availablePages, hugePages } from "../host/memory/huge-pages.ts";
import { hugePageSizes } from "../host/memory/page-sizes.ts";
import { catchSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { lockPool } from "./lock.ts";
import { emptyPool, readPool } from "./ne-cpus.ts";
import { NodePages } from "./node-pages.ts";
import type { PageCounts } from "./plan.ts";

/** Huge pages of one size on one node. */
export interface NodePageCount {
  /** undefined on a kernel without NUMA. */
  readonly node: number | undefined;
  readonly pageBytes: number;
  readonly total: number;
  readonly free: number;
}

/** The pool and the parent's huge pages. */
export interface PoolStatus {
  readonly pool: readonly number[];
  readonly cores: readonly Core[];
  readonly node: number | undefined;
  readonly topology: Topology;
  /** For every node and page size with at least one page. */
  readonly pages: readonly NodePageCount[];
  /** Bytes of huge pages that an enclave of this pool could use. */
  readonly availableBytes: number;
}

/** Reads the pool, its cores and all huge pages. Throws UserError if the driver is not loaded. */
export function poolStatus(system: System): PoolStatus {
  const pool = readPool(system);
  const topology = readTopology(system);
  const { cores, nodes } = poolShapeOf(topology, pool);
  const [node] = nodes;
  const sizes = hugePageSizes(system);
  const numa = topology.nodes.length > 0;
  const pages = (numa ? topology.nodes : [undefined]).flatMap((each) =>
    sizes.flatMap((pageBytes) => pagesOn(system, pageBytes, each)),
  );
  const available = sizes.map(
    (pageBytes) => (availablePages(system, pageBytes, numa ? node : undefined) ?? 0) * pageBytes,
  );
  return {
    pool,
    cores,
    node,
    topology,
    pages,
    availableBytes: node === undefined ? 0 : available.reduce((sum, bytes) => sum + bytes, 0),
  };
}

function pagesOn(system: System, pageBytes: number, node: number | undefined): NodePageCount[] {
  const { total = 0, free = 0 } = hugePages(system, pageBytes, node);
  return total === 0 ? [] : [{ node, pageBytes, total, free }];
}

/** What `nitro pool release` released. */
export interface ReleasedPool {
  /** The CPUs that were in the pool. */
  readonly pool: readonly number[];
  readonly node: number | undefined;
  readonly pagesBefore: PageCounts;
  /** Pages that other processes still use. */
  readonly pagesLeft: PageCounts;
  readonly topology: Topology;
}

/**
 * Empties the pool and frees the huge pages of its node. If the pool is empty already, the huge pages are kept: they
 * may be for other programs. Throws UserError while an enclave runs.
 */
export function releasePool(system: System, report: (line: string) => void): ReleasedPool {
  using signals = catchSignals(system);
  readPool(system); // Without a driver there is nothing to wait for.
  using _lock = lockPool(system, report, signals);
  const pool = readPool(system);
  const topology = readTopology(system);
  if (pool.length === 0) return { pool, node: undefined, pagesBefore: [], pagesLeft: [], topology };
  const node = poolShapeOf(topology, pool).nodes[0] ?? 0;
  emptyPool(system);
  const pages = new NodePages(system, topology, node);
  const pagesBefore = pages.countsWithSurplus();
  pages.restore([]);
  return { pool, node, pagesBefore, pagesLeft: pages.countsWithSurplus(), topology };
}
