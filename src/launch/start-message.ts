/** The message that reports the start of the enclave. */

import { rangesText } from "../host/memory/huge-pages.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import type { LaunchOptions } from "./options.ts";
import { sizeText } from "./plan/memory.ts";

/** Returns the line: name, CID, vCPUs, memory and its pages and regions, mode. */
export function startMessage(options: LaunchOptions, run: EnclaveRun): string {
  const { memory } = run.plan;
  const { cpus, regions } = run;
  const name = options.name === undefined ? "" : ` ${options.name}`;
  const node = memory.node === undefined ? "" : ` on NUMA node ${memory.node}`;
  const inRegions = regions === undefined ? "" : ` in ${regions} region${regions === 1 ? "" : "s"}`;
  const mode = options.debugMode
    ? "debug mode"
    : "production mode (no console; -accel nitro,debug-mode=on gives one)";
  const heartbeat = options.heartbeat.policy === "none" ? ", heartbeat=none" : "";
  return (
    `enclave${name} started: CID ${run.cid}, ${cpusText(cpus)}, ` +
    `memory ${sizeText(memory.bytes)}, ${rangesText(memory.ranges)}${inRegions}${node}, ${mode}${heartbeat}`
  );
}

function cpusText(cpus: readonly number[]): string {
  return cpus.length === 1 ? `1 vCPU (CPU ${cpus[0]})` : `${cpus.length} vCPUs (CPUs ${cpus.join(", ")})`;
}
