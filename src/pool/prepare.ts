/**
 * `nitro pool`: prepares the driver's CPU pool and the huge pages on its NUMA node. It plans, applies the plan and
 * verifies the result. It rolls back if the parent cannot provide everything, or if a signal arrives. The CPUs come
 * first: the driver refuses to change them while an enclave runs, and nothing else has been changed by then.
 */
import { cpuListText } from "../host/cpu/cpu-list.ts";
import { poolCpus } from "../host/cpu/cpus.ts";
import { poolShapeOf, readTopology, type Topology } from "../host/cpu/topology.ts";
import { UserError } from "../sys/errors.ts";
import { catchSignals, type Signals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { lockPool } from "./lock.ts";
import { FatalPoolError, readPool, restorePool, withOutcome, writePool } from "./ne-cpus.ts";
import { NodePages } from "./node-pages.ts";
import { type NodePlan, planPool } from "./node-plans.ts";
import { type PageCounts, type PoolRequest, sameCounts } from "./plan.ts";

/** The pool and its node's huge pages after the command, and whether it changed them. */
export interface PreparedPool {
  readonly pool: readonly number[];
  readonly poolChanged: boolean;
  /** The pool's NUMA node; undefined if the pool is empty. */
  readonly poolNode: number | undefined;
  /** The node of the huge pages. */
  readonly node: number;
  readonly pages: PageCounts;
  readonly pagesChanged: boolean;
  /** Huge pages of other nodes, which enclaves of this pool cannot use. */
  readonly elsewhere: readonly { readonly node: number; readonly pages: PageCounts }[];
  readonly topology: Topology;
}

/** What applying a plan needs. */
interface PoolContext {
  readonly system: System;
  readonly topology: Topology;
  readonly request: PoolRequest;
  /** The pool's CPUs before the command. */
  readonly before: readonly number[];
  /** Throws if a signal has arrived. */
  readonly throwIfStopped: () => void;
}

/** Prepares the parent. Throws UserError if that is not possible as a whole; its message has the state left behind. */
export function preparePool(
  system: System,
  request: PoolRequest,
  report: (line: string) => void,
): PreparedPool {
  using signals = catchSignals(system);
  readPool(system); // Without a driver there is nothing to wait for.
  using _lock = lockPool(system, report, signals);
  const before = readPool(system);
  const topology = readTopology(system);
  const plans = planPool(system, topology, request, before);
  const throwIfStopped = () => stopOnSignal(signals);
  return applyFirstPossible({ system, topology, request, before, throwIfStopped }, plans);
}

function stopOnSignal(signals: Signals): void {
  const signal = signals.next();
  if (signal !== undefined) throw new FatalPoolError("pool", `stopped by ${signal}`, "run it again");
}

function applyFirstPossible(context: PoolContext, plans: readonly NodePlan[]): PreparedPool {
  const failures: UserError[] = [];
  const rollBacks: RollBack[] = [];
  for (const plan of plans) {
    const pages = new NodePages(context.system, context.topology, plan.node, context.throwIfStopped);
    const pagesBefore = pages.counts();
    try {
      return applyPlan(context, plan, pages);
    } catch (error) {
      rollBacks.push(rollBack(context, plan, pagesBefore));
      if (!(error instanceof UserError)) throw error;
      if (error instanceof FatalPoolError) throw withOutcome(error, outcomeText(context, rollBacks));
      failures.push(error);
    }
  }
  throw withOutcome(combined(failures), outcomeText(context, rollBacks));
}

/** Throws UserError if the parent refuses a part of the plan, with the changes made until then in place. */
function applyPlan(context: PoolContext, { node, cpus }: NodePlan, pages: NodePages): PreparedPool {
  const { system, topology, request, before, throwIfStopped } = context;
  const poolChanged = cpus !== undefined && !isPool(cpus, before, topology);
  throwIfStopped();
  if (poolChanged) writePool(system, cpus);
  throwIfStopped();
  const pagesChanged = request.memory !== undefined && pages.provide(request.memory.bytes);
  throwIfStopped();
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

/** Returns whether these CPUs are the pool already. A pool CPU is offline, unless a user brought it online. */
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
    .map((node) => ({ node, pages: new NodePages(system, topology, node).counts() }))
    .filter(({ pages }) => pages.length > 0);
}

/** What a roll back restored, and what differs from the previous state nevertheless. */
interface RollBack {
  readonly pool: boolean;
  readonly pages: boolean;
  readonly different: readonly string[];
}

/** Restores the pages and the pool. Signals that arrive now do not interrupt it. */
function rollBack(context: PoolContext, { node }: NodePlan, pagesBefore: PageCounts): RollBack {
  const { system, topology, before } = context;
  const pages = new NodePages(system, topology, node);
  const pagesDiffer = !sameCounts(pages.counts(), pagesBefore);
  const poolDiffers = cpuListText(poolCpus(system)) !== cpuListText(before);
  const different = [
    pages.restore(pagesBefore),
    poolDiffers ? restorePool(system, before) : undefined,
  ].filter((text) => text !== undefined);
  return { pool: poolDiffers, pages: pagesDiffer, different };
}

function outcomeText({ before }: PoolContext, rollBacks: readonly RollBack[]): string {
  const different = rollBacks.flatMap((each) => each.different);
  const restored = [
    ...(rollBacks.some(({ pool }) => pool) ? [`pool ${cpuListText(before) || "(empty)"}`] : []),
    ...(rollBacks.some(({ pages }) => pages) ? ["huge pages"] : []),
  ];
  if (different.length > 0) return `not everything could be restored: ${different.join(", ")}`;
  return restored.length === 0 ? "nothing was changed" : `restored the previous ${restored.join(" and ")}`;
}

/** Combines the errors of all nodes into one; parts that they have in common are printed once. */
function combined([first, ...others]: readonly UserError[]): UserError {
  if (first === undefined) return new UserError("pool", "there is no NUMA node");
  const reasons = others.map(({ what, why }) => (what === first.what ? why : `${what}: ${why}`));
  return new UserError(first.what, [...new Set([first.why, ...reasons])].join("; "), first.hint);
}
