/** Checks -smp or cpu-ids=, the CPU pool, and the cores that running enclaves use. */
import { cpuListText } from "../host/cpu/cpu-list.ts";
import { poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { moduleProblem } from "../host/driver/driver.ts";
import {
  coresInUse,
  enclavesText,
  MAX_ENCLAVES,
  type RunningEnclaves,
  runningEnclaves,
} from "../host/driver/enclaves.ts";
import type { LaunchOptions } from "../launch/options.ts";
import { pickCpus } from "../launch/plan/cpu-ids.ts";
import { planVcpus } from "../launch/plan/vcpus.ts";
import { publishedCids } from "../launch/published-status.ts";
import {
  type CpuDemand,
  coresInUseProblem,
  type PoolState,
  poolProblem,
  poolState,
} from "../pool/pool-problem.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failure, finding } from "./finding.ts";

/** The findings, and the command that creates the pool. */
export interface CoresReport {
  readonly findings: readonly Finding[];
  /** undefined if there is a pool already. */
  readonly poolCommand: string | undefined;
}

/** Runs the checks. @param memoryBytes the enclave's memory, by which a pool's node is chosen. */
export function checkCores(
  system: System,
  options: LaunchOptions,
  topology: Topology,
  memoryBytes: number,
): CoresReport {
  const { demand, line: vcpus } = checkVcpus(system, options, topology.threadsPerCore);
  const state = poolState(system, topology);
  if (state === undefined) {
    const emptyPool = { topology, cpus: [], shape: poolShapeOf(topology, []) };
    const problem = poolProblem(system, emptyPool, demand, memoryBytes);
    const why = "the CPU pool comes with the driver and is empty, unless it is configured at boot";
    const pool =
      problem === undefined || moduleProblem(system) === undefined
        ? finding("pool", "note", "the driver does not report its CPU pool")
        : failure("pool", { ...problem, why });
    return { findings: [vcpus, pool], poolCommand: problem?.command };
  }
  const problem = poolProblem(system, state, demand, memoryBytes);
  if (problem !== undefined) {
    return {
      findings: [vcpus, failure("pool", problem)],
      poolCommand: state.cpus.length === 0 ? problem.command : undefined,
    };
  }
  const running = runningEnclaves(system, topology.threadsPerCore, publishedCids(system));
  const inUse = coresInUseProblem(state, running, demand);
  const enclaves = inUse === undefined ? enclavesLine(state, running) : failure("enclaves", inUse);
  return { findings: [vcpus, finding("pool", "ok", poolText(state)), enclaves], poolCommand: undefined };
}

function checkVcpus(
  system: System,
  { cpuIds, vcpus }: LaunchOptions,
  threads: number,
): { readonly demand: CpuDemand; readonly line: Finding } {
  const planned = attempt("vcpus", () =>
    cpuIds === undefined ? planVcpus(vcpus, threads) : pickCpus(system, cpuIds),
  );
  if ("value" in planned) {
    const demand = planned.value;
    const cores = `${demand.value / threads} whole core${demand.value === threads ? "" : "s"}`;
    return { demand, line: finding("vcpus", "ok", `${demand.typed}: ${cores}`) };
  }
  // The other checks continue with the number of CPUs rounded up to whole cores.
  const asked = cpuIds === undefined ? vcpus?.value : cpuIds.value.length;
  const value = Math.ceil((asked ?? 1) / threads) * threads;
  return { demand: { value, typed: (cpuIds ?? vcpus)?.typed ?? "" }, line: planned.failure };
}

function poolText({ cpus, shape, topology }: PoolState): string {
  const { threadsPerCore: threads, nodes } = topology;
  const cores = `${shape.cores.length} whole core${shape.cores.length === 1 ? "" : "s"}`;
  const perCore = threads === 1 ? "" : ` of ${threads} threads`;
  const node = nodes.length > 1 ? ` on NUMA node ${shape.nodes.join(", ")}` : "";
  return `CPUs ${cpuListText(cpus)}: ${cores}${perCore}${node}`;
}

function enclavesLine({ shape, topology }: PoolState, running: RunningEnclaves): Finding {
  const { enclaves, complete } = running;
  const hidden = complete ? "" : "; other users' processes cannot be inspected";
  if (enclaves.length === 0) return finding("enclaves", complete ? "ok" : "note", `none found${hidden}`);
  const threads = topology.threadsPerCore;
  const free = (shape.cores.length - coresInUse(running, threads)) * threads;
  const known = enclaves.every(({ vcpus }) => vcpus !== undefined);
  const text =
    `${enclaves.length} of at most ${MAX_ENCLAVES} running: ${enclavesText(enclaves)}; ` +
    `${known ? "" : "at most "}${free} CPUs of the pool are free, judging by the command lines${hidden}`;
  return finding("enclaves", complete && known ? "ok" : "note", text);
}
