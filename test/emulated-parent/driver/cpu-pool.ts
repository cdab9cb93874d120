/** The driver's CPU pool: whole cores, each free or used by an enclave. */

import { NE_ERR } from "../sys/errno.ts";
import type { Topology } from "../topology/topology.ts";
import type { Slot } from "./slot.ts";

/** The pool, and which enclave uses which core. */
export class CpuPool {
  /** The pool's cores by number, each with its threads in ascending order. */
  private readonly cores = new Map<number, number[]>();
  private readonly owners = new Map<number, Slot>();

  constructor(
    private readonly topology: Topology,
    cpus: readonly number[],
  ) {
    this.set(cpus);
  }

  /** Replaces the pool's CPUs; none of the old ones is in use. */
  set(cpus: readonly number[]): void {
    this.cores.clear();
    for (const cpu of [...cpus].sort((a, b) => a - b)) {
      const core = this.coreOf(cpu);
      this.cores.set(core, [...(this.cores.get(core) ?? []), cpu]);
    }
  }

  /** The NUMA node of the pool's CPUs; undefined if the pool is empty. */
  get node(): number | undefined {
    const [cpu] = [...this.cores.values()].flat();
    return cpu === undefined ? undefined : this.topology.cpus[cpu]?.node;
  }

  private coreOf(cpu: number): number {
    return this.topology.cpus[cpu]?.core ?? -1;
  }

  /** Whether an enclave may be created: a core is completely free. */
  get hasFreeCore(): boolean {
    return [...this.cores.keys()].some((core) => !this.owners.has(core));
  }

  /** Adds a CPU to an enclave (0: any); returns its id, or the negated errno. */
  add(slot: Slot, id: number): number {
    const cpu = id === 0 ? this.nextFor(slot) : id;
    if (cpu === undefined) return -NE_ERR.NO_CPUS_AVAIL_IN_POOL;
    if (cpu >= this.topology.cpus.length) return -NE_ERR.INVALID_VCPU;
    if (slot.vcpus.includes(cpu)) return -NE_ERR.VCPU_ALREADY_USED;
    const core = this.coreOf(cpu);
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

  /** Releases an enclave's cores. */
  release(slot: Slot): void {
    for (const [core, owner] of this.owners) if (owner === slot) this.owners.delete(core);
  }
}
