/** The driver's CPU pool: whole cores, each free or an enclave's. */

import type { Scenario } from "../scenario.ts";
import { NE_ERR } from "../sys/errno.ts";
import type { Slot } from "./slot.ts";

/** The CPUs of a list such as `1,3` or `2-5`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.split(",").filter((piece) => piece.trim() !== "")) {
    const [first = "", last = first] = part.trim().split("-");
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** CPUs as a list with ranges, as sysfs prints them. */
export function formatCpuList(cpus: readonly number[]): string {
  const sorted = [...cpus].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const cpu of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === cpu - 1) run[1] = cpu;
    else runs.push([cpu, cpu]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** Which core is whose. */
export class CpuPool {
  /** The pool's cores by number, each with its threads in ascending order. */
  private readonly cores = new Map<number, number[]>();
  private readonly owners = new Map<number, Slot>();
  private readonly coreCount: number;
  private readonly cpuCount: number;

  constructor(scenario: Scenario) {
    this.cpuCount = scenario.cpus;
    this.coreCount = Math.max(1, Math.floor(scenario.cpus / scenario.threadsPerCore));
    for (const cpu of parseCpuList(scenario.pool)) {
      const core = cpu % this.coreCount;
      this.cores.set(
        core,
        [...(this.cores.get(core) ?? []), cpu].sort((a, b) => a - b),
      );
    }
  }

  /** Whether an enclave may be created: a wholly free core. */
  get hasFreeCore(): boolean {
    return [...this.cores.keys()].some((core) => !this.owners.has(core));
  }

  /** Gives a CPU to an enclave (0: any); gives its id, or the negated errno. */
  add(slot: Slot, id: number): number {
    const cpu = id === 0 ? this.nextFor(slot) : id;
    if (cpu === undefined) return -NE_ERR.NO_CPUS_AVAIL_IN_POOL;
    if (cpu >= this.cpuCount) return -NE_ERR.INVALID_VCPU;
    if (slot.vcpus.includes(cpu)) return -NE_ERR.VCPU_ALREADY_USED;
    const core = cpu % this.coreCount;
    const owner = this.owners.get(core);
    if (!this.cores.get(core)?.includes(cpu) || (owner !== undefined && owner !== slot)) {
      return -NE_ERR.VCPU_NOT_IN_CPU_POOL;
    }
    this.owners.set(core, slot); // the first thread reserves the whole core
    return cpu;
  }

  private nextFor(slot: Slot): number | undefined {
    let fresh: number | undefined;
    for (const [core, threads] of [...this.cores].sort(([a], [b]) => a - b)) {
      const owner = this.owners.get(core);
      const unused = threads.find((cpu) => !slot.vcpus.includes(cpu));
      if (owner === slot && unused !== undefined) return unused;
      if (owner === undefined) fresh ??= threads[0];
    }
    return fresh;
  }

  /** Whether every thread of every core that the enclave has reserved is one of its vCPUs. */
  coresComplete(slot: Slot): boolean {
    return [...this.owners].every(
      ([core, owner]) =>
        owner !== slot || (this.cores.get(core) ?? []).every((cpu) => slot.vcpus.includes(cpu)),
    );
  }

  /** Gives an enclave's cores back. */
  release(slot: Slot): void {
    for (const [core, owner] of this.owners) if (owner === slot) this.owners.delete(core);
  }
}
