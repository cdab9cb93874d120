/** Why the driver's pool has no CPUs for an enclave, as far as that is told, and what gives it some. */
import { cpuListText, parseCpuList } from "../host/cpu/cpu-list.ts";
import { cpuPool } from "../host/cpu/cpus.ts";
import { type PoolShape, poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { coresInUse, enclavesText, MAX_ENCLAVES, type RunningEnclaves } from "../host/driver/enclaves.ts";
import { availablePages, hugePages } from "../host/memory/huge-pages.ts";
import { asRoot, type Problem } from "../host/problem.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { freeCores } from "./plan.ts";

/** vCPUs that a launch asks for, and how: `-smp 4`. */
export interface CpuDemand {
  readonly value: number;
  readonly typed: string;
}

/** The pool as it is. */
export interface PoolState {
  readonly topology: Topology;
  /** Ascending. */
  readonly cpus: readonly number[];
  readonly shape: PoolShape;
}

/** Reads the pool; undefined where the driver is not there to tell it. */
export function poolState(system: System, topology: Topology): PoolState | undefined {
  const list = cpuPool(system);
  if (list === undefined) return undefined;
  const cpus = parseCpuList(list) ?? [];
  return { topology, cpus, shape: poolShapeOf(topology, cpus) };
}

/** The nodes with so many vCPUs' whole cores for a pool, the likeliest first. */
export function nodesWithCores(topology: Topology, pool: readonly number[], vcpus: number): number[] {
  const nodes = topology.nodes.length === 0 ? [0] : topology.nodes;
  return nodes.filter((node) => freeCores(topology, node, pool).length * topology.threadsPerCore >= vcpus);
}

const MIB = 2 ** 20;
const SIZES = [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES];

/**
 * What is typed for a pool of so many CPUs. Where there are several nodes and no pool says which, it is a node that has
 * the enclave's memory as well, or can have it: then that is asked for too.
 */
function poolCommand(
  system: System,
  { topology, cpus }: PoolState,
  vcpus: number,
  memoryBytes: number,
): string {
  const nodes = nodesWithCores(topology, cpus, vcpus);
  if (topology.nodes.length <= 1 || cpus.length > 0) return asRoot(`nitro pool --cpus ${vcpus}`);
  const bytes = (count: (pageBytes: number) => number | undefined) =>
    SIZES.filter((each) => each <= memoryBytes).reduce((sum, each) => sum + each * (count(each) ?? 0), 0);
  const free = (node: number) => bytes((each) => availablePages(system, each, node));
  const best = nodes.reduce((a, b) => (free(b) > free(a) ? b : a), nodes[0] ?? 0);
  const missing = Math.max(0, memoryBytes - free(best));
  const reserved = bytes((each) => hugePages(system, each, best).total);
  const memory = missing === 0 ? "" : ` --memory ${Math.ceil((reserved + missing) / MIB)}`;
  return asRoot(`nitro pool --cpus ${vcpus} --node ${best}${memory}`);
}

/** Why the pool itself does not do, whatever runs; undefined where it does. */
export function poolProblem(
  system: System,
  state: PoolState,
  demand: CpuDemand,
  memoryBytes: number,
): Problem | undefined {
  const { cpus, shape, topology } = state;
  const threads = topology.threadsPerCore;
  const list = cpuListText(cpus);
  const whole = shape.cores.length * threads;
  const more = larger(system, state, demand, memoryBytes);
  if (cpus.length === 0) return { why: "the CPU pool is empty", ...more };
  if (shape.missing.length > 0) {
    const missing = cpuListText(shape.missing);
    const offline = shape.missing.filter((cpu) => !topology.online.includes(cpu));
    const online = offline.map((cpu) => `echo 1 > /sys/devices/system/cpu/cpu${cpu}/online`);
    const pool = `nitro pool --cpus ${Math.max(demand.value, whole)}`;
    return {
      why: `the CPU pool ${list} has a part of a core: CPU ${missing} is missing, and enclaves take whole cores`,
      command: asRoot([...online, pool].join(" && ")),
    };
  }
  if (whole >= demand.value) return undefined;
  const cores = `${shape.cores.length} core${shape.cores.length === 1 ? "" : "s"}`;
  return {
    why: `${demand.typed} needs ${demand.value} CPUs, and the CPU pool ${list} has ${cpus.length} (${cores})`,
    ...more,
  };
}

/** How the pool comes to have as many CPUs as are asked for; where no node has them, how the launch does with less. */
function larger(
  system: System,
  state: PoolState,
  demand: CpuDemand,
  memoryBytes: number,
): Omit<Problem, "why"> {
  const { topology, cpus, shape } = state;
  const command = (vcpus: number) => poolCommand(system, state, vcpus, memoryBytes);
  if (nodesWithCores(topology, cpus, demand.value).length > 0) return { command: command(demand.value) };
  const nodes = topology.nodes.length === 0 ? [0] : topology.nodes;
  const most = Math.max(
    ...nodes.map((node) => freeCores(topology, node, cpus).length * topology.threadsPerCore),
  );
  const advice = "or use an instance type with more CPUs: CPU 0's core stays the parent's";
  if (most === 0) return { advice: advice.slice(3) };
  const options = ["-smp", String(most)];
  if (most <= shape.cores.length * topology.threadsPerCore) return { options, advice };
  return { command: command(most), options, advice };
}

/** Why running enclaves leave none of a pool that would do; undefined where they do, or nothing tells. */
export function coresInUseProblem(
  { cpus, shape, topology }: PoolState,
  running: RunningEnclaves,
  demand: CpuDemand,
): Problem | undefined {
  const { enclaves } = running;
  const threads = topology.threadsPerCore;
  const left = Math.max(0, shape.cores.length - coresInUse(running, threads));
  const full = enclaves.length >= MAX_ENCLAVES;
  if (enclaves.length === 0 || (left * threads >= demand.value && !full)) return undefined;
  const newest = enclaves.at(-1);
  const run = `${enclaves.length} enclave${enclaves.length === 1 ? " runs" : "s run"}: ${enclavesText(enclaves)}`;
  const lacks =
    left === 0
      ? `no core of the CPU pool ${cpuListText(cpus)} is left`
      : `${left * threads} CPUs of the CPU pool ${cpuListText(cpus)} are left, and ` +
        `${demand.typed} needs ${demand.value}`;
  return {
    why: full
      ? `a parent instance runs ${MAX_ENCLAVES} enclaves at the most, and ${run}`
      : `${lacks}; ${run}`,
    command: newest === undefined ? undefined : asRoot(`kill ${newest.pid}`),
    advice:
      `that stops an enclave${left > 0 && !full ? `; -smp ${left * threads} needs none stopped` : ""}; ` +
      "the pool cannot be changed while one runs",
  };
}
