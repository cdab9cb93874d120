/** An enclave in words: for the line that tells of its start, and for errors on the way there. */
import type { LaunchNumbers } from "../enclave/ne-errors.ts";
import { cpuPool } from "../host/cpu/cpus.ts";
import type { System } from "../sys/system.ts";
import type { LaunchOptions } from "./options.ts";
import { type MemoryPlan, rangesText, sizeText } from "./plan/memory.ts";
import type { Vcpus } from "./plan/vcpus.ts";

/** What an enclave is to get. */
export interface Intended {
  readonly memory: MemoryPlan;
  readonly vcpus: Vcpus;
  /** Threads of a core. */
  readonly threads: number;
  /** Whether the image has a signature. */
  readonly signed: boolean;
}

/** What it has got so far. */
export interface Made {
  /** The parent's CPUs that are its vCPUs. */
  readonly cpus: number[];
  /** Of its memory; undefined where they are not told. */
  regions: number | undefined;
}

/** The numbers of a launch, for the driver's refusals. */
export function launchNumbers(
  system: System,
  options: LaunchOptions,
  { memory, vcpus, threads, signed }: Intended,
  made: Made,
): LaunchNumbers {
  return {
    smp: vcpus.typed,
    vcpus: vcpus.value,
    vcpusAdded: made.cpus.length,
    cpuIds: vcpus.ids,
    memory: memory.typed,
    memoryBytes: memory.bytes,
    pages: rangesText(memory.ranges),
    regions: made.regions,
    node: memory.node,
    cid: options.enclaveCid,
    pool: cpuPool(system),
    threadsPerCore: threads,
    eifPath: options.kernel.value,
    signed,
    debugMode: options.debugMode,
  };
}

/** The line that tells of the start. */
export function startedLine(options: LaunchOptions, cid: bigint, memory: MemoryPlan, made: Made): string {
  const name = options.name === undefined ? "" : ` ${options.name}`;
  const node = memory.node === undefined ? "" : ` on NUMA node ${memory.node}`;
  const { cpus, regions } = made;
  const lying = regions === undefined ? "" : ` in ${regions} region${regions === 1 ? "" : "s"}`;
  return (
    `enclave${name} started: CID ${cid}, ${cpuText(cpus)}, ` +
    `memory ${sizeText(memory.bytes)}, ${rangesText(memory.ranges)}${lying}${node}, ` +
    (options.debugMode
      ? "debug mode"
      : "production mode (no console; -accel nitro,debug-mode=on gives one)") +
    (options.heartbeat.policy === "none" ? ", heartbeat=none" : "")
  );
}

function cpuText(cpus: readonly number[]): string {
  return cpus.length === 1 ? `1 vCPU (CPU ${cpus[0]})` : `${cpus.length} vCPUs (CPUs ${cpus.join(", ")})`;
}
