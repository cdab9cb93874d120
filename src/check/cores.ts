/** The pool's CPUs, and what running enclaves leave of them. */
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
import {
  type CpuDemand,
  coresInUseProblem,
  type PoolState,
  poolProblem,
  poolState,
} from "../pool/pool-problem.ts";
import type { System } from "../sys/system.ts";
import { attempt, type Finding, failed, found } from "./finding.ts";

/** Findings, and the command that makes the pool where there is none yet. */
export interface CoresChecked {
  readonly findings: readonly Finding[];
  /** undefined where the pool is there. */
  readonly poolCommand: string | undefined;
}

/**
 * Looks at -smp or cpu-ids=, the pool and the enclaves.
 * @param memoryBytes what the enclave is to have, for the pool's node.
 */
export function checkCores(
  system: System,
  options: LaunchOptions,
  topology: Topology,
  memoryBytes: number,
): CoresChecked {
  const threads = topology.threadsPerCore;
  const { cpuIds } = options;
  const asked = cpuIds === undefined ? options.vcpus : { ...cpuIds, value: cpuIds.value.length };
  const planned = attempt("vcpus", () =>
    cpuIds === undefined ? planVcpus(asked, threads) : pickCpus(system, cpuIds),
  );
  // A part of a core is refused; the rest is looked at for as many CPUs as would do.
  const demand: CpuDemand =
    "value" in planned
      ? planned.value
      : {
          value: Math.ceil((asked?.value ?? 1) / threads) * threads,
          typed: asked?.typed ?? "",
        };
  const smp =
    "value" in planned
      ? found(
          "vcpus",
          "ok",
          `${demand.typed}: ${demand.value / threads} whole core${demand.value === threads ? "" : "s"}`,
        )
      : planned.refusal;
  const state = poolState(system, topology);
  if (state === undefined) {
    const none = { topology, cpus: [], shape: poolShapeOf(topology, []) };
    const problem = poolProblem(system, none, demand, memoryBytes);
    const why = "the CPU pool comes with the driver, and is empty then unless something fills it";
    const line =
      problem === undefined || moduleProblem(system) === undefined
        ? found("pool", "note", "the driver does not tell its pool")
        : failed("pool", { ...problem, why });
    return { findings: [smp, line], poolCommand: problem?.command };
  }
  const problem = poolProblem(system, state, demand, memoryBytes);
  if (problem !== undefined) {
    return {
      findings: [smp, failed("pool", problem)],
      poolCommand: state.cpus.length === 0 ? problem.command : undefined,
    };
  }
  const running = runningEnclaves(system, threads);
  const taken = coresInUseProblem(state, running, demand);
  const line = taken === undefined ? enclavesLine(state, running) : failed("enclaves", taken);
  return { findings: [smp, found("pool", "ok", poolText(state)), line], poolCommand: undefined };
}

function poolText({ cpus, shape, topology }: PoolState): string {
  const { threadsPerCore: threads, nodes } = topology;
  const cores = `${shape.cores.length} whole core${shape.cores.length === 1 ? "" : "s"}`;
  const of = threads === 1 ? "" : ` of ${threads} threads`;
  const node = nodes.length > 1 ? ` on NUMA node ${shape.nodes.join(", ")}` : "";
  return `CPUs ${cpuListText(cpus)}: ${cores}${of}${node}`;
}

function enclavesLine({ shape, topology }: PoolState, running: RunningEnclaves): Finding {
  const { enclaves, complete } = running;
  const threads = topology.threadsPerCore;
  const left = shape.cores.length - coresInUse(running, threads);
  const unsure = enclaves.some(({ vcpus }) => vcpus === undefined) ? " at the most" : "";
  const hidden = complete ? "" : "; others' processes cannot be looked at, so there may be more";
  const told = "the driver does not tell which CPUs are in use";
  if (enclaves.length === 0) {
    return found(
      "enclaves",
      complete ? "ok" : "note",
      `none is seen to run${complete ? "" : `${hidden} (${told})`}`,
    );
  }
  const text =
    `${enclaves.length} of ${MAX_ENCLAVES} run: ${enclavesText(enclaves)}; by that ${left * threads} CPUs are ` +
    `left${unsure}, for ${told}${hidden}`;
  return found("enclaves", complete && unsure === "" ? "ok" : "note", text);
}
