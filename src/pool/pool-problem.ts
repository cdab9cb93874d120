/** Why the driver's CPU pool has no CPUs for an enclave, and how to provide them. */
import { cpuListText, parseCpuList } from "../host/cpu/cpu-list.ts";
import { cpuPool } from "../host/cpu/cpus.ts";
import { type PoolShape, poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { coresInUse, enclavesText, MAX_ENCLAVES, type RunningEnclaves } from "../host/driver/enclaves.ts";
import { availablePages, hugePages } from "../host/memory/huge-pages.ts";
import { hugePageSizes } from "../host/memory/page-sizes.ts";
import { onlineCommand } from "../host/paths.ts";
import { asRoot, type Problem } from "../host/problem.ts";
import type { System } from "../sys/system.ts";
import { MIB } from "../sys/units.ts";
import { freeCores, maxCpus, nodesOf } from "./plan.ts";

/** The number of vCPUs that a launch asks for, and the option as typed: `-smp 4`. */
export interface CpuDemand {
  readonly value: number;
  readonly typed: string;
}

/** The pool's present state. */
export interface PoolState {
  readonly topology: Topology;
  /** Ascending. */
  readonly cpus: readonly number[];
  readonly shape: PoolShape;
}

/** Reads the pool; undefined if the driver is not loaded. */
export function poolState(system: System, topology: Topology): PoolState | undefined {
  const list = cpuPool(system);
  if (list === undefined) return undefined;
  const cpus = parseCpuList(list) ?? [];
  return { topology, cpus, shape: poolShapeOf(topology, cpus) };
}

/**
 * Returns the command that makes a pool of this many CPUs. If there are several nodes and no pool yet, it names the
 * node with the most free huge pages, and asks for the rest of the enclave's memory there.
 */
function poolCommand(
  system: System,
  { topology, cpus }: PoolState,
  vcpus: number,
  memoryBytes: number,
): string {
  if (topology.nodes.length <= 1 || cpus.length > 0) return asRoot(`nitro pool --cpus ${vcpus}`);
  const nodes = nodesWithCores(topology, cpus, vcpus);
  const sizes = hugePageSizes(system);
  const bytes = (count: (pageBytes: number) => number | undefined) =>
    sizes.reduce((sum, pageBytes) => sum + pageBytes * (count(pageBytes) ?? 0), 0);
  const free = (node: number) => bytes((pageBytes) => availablePages(system, pageBytes, node));
  const best = nodes.reduce((a, b) => (free(b) > free(a) ? b : a), nodes[0] ?? 0);
  const missing = Math.max(0, memoryBytes - free(best));
  const reserved = bytes((pageBytes) => hugePages(system, pageBytes, best).total);
  const memory = missing === 0 ? "" : ` --memory ${Math.ceil((reserved + missing) / MIB)}`;
  return asRoot(`nitro pool --cpus ${vcpus} --node ${best}${memory}`);
}

function nodesWithCores(topology: Topology, pool: readonly number[], vcpus: number): number[] {
  return nodesOf(topology).filter(
    (node) => freeCores(topology, node, pool).length * topology.threadsPerCore >= vcpus,
  );
}

/** Returns why the pool does not suffice, regardless of running enclaves; undefined if it does. */
export function poolProblem(
  system: System,
  state: PoolState,
  demand: CpuDemand,
  memoryBytes: number,
): Problem | undefined {
  const { cpus, shape, topology } = state;
  const list = cpuListText(cpus);
  const wholeCpus = shape.cores.length * topology.threadsPerCore;
  if (cpus.length === 0)
    return { why: "the CPU pool is empty", ...largerPool(system, state, demand, memoryBytes) };
  if (shape.missing.length > 0) {
    const offline = shape.missing.filter((cpu) => !topology.online.includes(cpu));
    const online = offline.length === 0 ? [] : [onlineCommand(offline)];
    const pool = `nitro pool --cpus ${Math.max(demand.value, wholeCpus)}`;
    return {
      why:
        `the CPU pool ${list} contains part of a core: CPU ${cpuListText(shape.missing)} is missing; ` +
        "enclaves need whole cores",
      command: asRoot([...online, pool].join(" && ")),
    };
  }
  if (wholeCpus >= demand.value) return undefined;
  const cores = `${shape.cores.length} core${shape.cores.length === 1 ? "" : "s"}`;
  return {
    why: `${demand.typed} needs ${demand.value} CPUs, but the CPU pool ${list} has ${cpus.length} (${cores})`,
    ...largerPool(system, state, demand, memoryBytes),
  };
}

/** Returns how to enlarge the pool as demanded or, if no node has that many CPUs, how to launch with fewer. */
function largerPool(
  system: System,
  state: PoolState,
  demand: CpuDemand,
  memoryBytes: number,
): Omit<Problem, "why"> {
  const { topology, cpus, shape } = state;
  const command = (vcpus: number) => poolCommand(system, state, vcpus, memoryBytes);
  if (nodesWithCores(topology, cpus, demand.value).length > 0) return { command: command(demand.value) };
  const most = maxCpus(topology, cpus);
  if (most === 0) return { advice: "use a larger instance type: CPU 0's core stays with the parent" };
  const advice = `this instance can give enclaves at most ${most} CPUs; a larger instance type has more`;
  const options = ["-smp", String(most)];
  if (most <= shape.cores.length * topology.threadsPerCore) return { options, advice };
  return { command: command(most), options, advice };
}

/** Returns why running enclaves leave too few cores of the pool; undefined if none is found or enough are free. */
export function coresInUseProblem(
  { cpus, shape, topology }: PoolState,
  running: RunningEnclaves,
  demand: CpuDemand,
): Problem | undefined {
  const { enclaves } = running;
  const threads = topology.threadsPerCore;
  const free = threads * Math.max(0, shape.cores.length - coresInUse(running, threads));
  const full = enclaves.length >= MAX_ENCLAVES;
  if (enclaves.length === 0 || (free >= demand.value && !full)) return undefined;
  const list = enclavesText(enclaves);
  const count = `${enclaves.length} enclave${enclaves.length === 1 ? "" : "s"}`;
  const pool = `the CPU pool ${cpuListText(cpus)}`;
  const stopOne = "stop one of them first; the CPU pool cannot be changed while an enclave runs";
  if (full)
    return { why: `${count} are running, the most that a parent instance can run: ${list}`, advice: stopOne };
  if (free === 0) return { why: `all cores of ${pool} are used by ${count}: ${list}`, advice: stopOne };
  return {
    why:
      `${demand.typed} needs ${demand.value} CPUs, but ${free} of ${pool} ${free === 1 ? "is" : "are"} free; ` +
      `the others are used by ${count}: ${list}`,
    advice: `use -smp ${free}, or ${stopOne}`,
  };
}
