/** The decisions of `nitro pool`: which cores of which node, and how many pages of which size. Changes nothing. */
import { ascending, cpuListText } from "../host/cpu/cpu-list.ts";
import { type Core, coreOf, poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { onlineCommand } from "../host/paths.ts";
import { UserError } from "../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";

/** The CPUs that are requested for the pool. */
export interface CpuRequest {
  /** CPUs by number. */
  readonly list: readonly number[];
  /** How many CPUs in addition to the list, chosen by nitro. */
  readonly more: number;
  /** The option as typed. */
  readonly typed: string;
}

/** The requested pool and huge pages. */
export interface PoolRequest {
  /** undefined leaves the CPUs as they are. */
  readonly cpus: CpuRequest | undefined;
  /** Bytes of each enclave's memory; undefined leaves the huge pages as they are. */
  readonly memory: { readonly bytes: readonly number[]; readonly typed: string } | undefined;
  /** The only NUMA node to consider. */
  readonly node: { readonly value: number; readonly typed: string } | undefined;
}

/**
 * Throws UserError for CPUs that break the driver's rules for its pool, with CPUs that comply in the hint.
 * @param pool the present pool. Its CPUs are offline; every other CPU must be online.
 */
export function validateCpus(
  topology: Topology,
  { list, more, typed }: CpuRequest,
  pool: readonly number[],
): void {
  const { threadsPerCore: threads } = topology;
  const refuse = (why: string, hint: string): never => {
    throw new UserError(typed, why, hint);
  };
  if (more % threads !== 0) {
    const below = more - (more % threads);
    const use = [below, below + threads].filter((count) => count > 0).map((count) => `--cpus ${count}`);
    refuse(`enclaves need whole cores, and a core has ${threads} threads here`, `use ${use.join(" or ")}`);
  }
  const { missing, absent, nodes, hasCore0 } = poolShapeOf(topology, list);
  if (absent.length > 0) {
    refuse(`this machine has no CPU ${cpuListText(absent)}`, `its CPUs are ${cpuListText(topology.present)}`);
  }
  if (hasCore0) {
    const core = cpuListText(coreOf(topology, 0)?.cpus ?? [0]);
    refuse(`CPU 0's core (${core}) stays with the parent`, withoutCore0(topology, list));
  }
  if (missing.length > 0) {
    refuse(
      `enclaves need whole cores; CPU ${cpuListText(missing)} is missing`,
      `use --cpu-list ${cpuListText([...list, ...missing])}`,
    );
  }
  if (nodes.length > 1) {
    const lists = nodes.map((node) =>
      cpuListText(list.filter((cpu) => coreOf(topology, cpu)?.node === node)),
    );
    refuse(
      `its CPUs are on NUMA nodes ${nodes.join(" and ")}; a pool must be on one node`,
      `use ${lists.map((cpus) => `--cpu-list ${cpus}`).join(" or ")}`,
    );
  }
  const beyond = list.filter((cpu) => (coreOf(topology, cpu)?.coreId ?? 0) >= topology.maxCores);
  if (beyond.length > 0) {
    refuse(
      `the driver accepts core ids below ${topology.maxCores}; that of CPU ${cpuListText(beyond)} is higher`,
      "choose other CPUs, or let nitro choose: --cpus N",
    );
  }
  const offline = list.filter((cpu) => !topology.online.includes(cpu) && !pool.includes(cpu));
  if (offline.length > 0)
    refuse(`CPU ${cpuListText(offline)} is offline and not in the pool`, onlineCommand(offline));
}

function withoutCore0(topology: Topology, list: readonly number[]): string {
  const core0 = coreOf(topology, 0)?.cpus ?? [0];
  const rest = list.filter((cpu) => !core0.includes(cpu));
  const whole = [...rest, ...poolShapeOf(topology, rest).missing];
  return whole.length > 0 ? `use --cpu-list ${cpuListText(whole)}` : `use --cpus ${topology.threadsPerCore}`;
}

/**
 * Returns the CPUs for a valid request on one node: those listed, then whole cores, first of the present pool, then by
 * number. Returns undefined if the node has too few.
 */
export function cpusOnNode(
  topology: Topology,
  { list, more }: Pick<CpuRequest, "list" | "more">,
  node: number,
  pool: readonly number[],
): number[] | undefined {
  if (list.some((cpu) => coreOf(topology, cpu)?.node !== node)) return undefined;
  const cores = freeCores(topology, node, pool).filter(({ cpus }) => !cpus.some((cpu) => list.includes(cpu)));
  const rank = ({ cpus }: Core) => (cpus.some((cpu) => pool.includes(cpu)) ? 0 : 1);
  cores.sort((a, b) => rank(a) - rank(b) || (a.cpus[0] ?? 0) - (b.cpus[0] ?? 0));
  const needed = more / topology.threadsPerCore;
  if (cores.length < needed) return undefined;
  return ascending([...list, ...cores.slice(0, needed).flatMap(({ cpus }) => cpus)]);
}

/** Returns the whole cores of a node that the driver would accept: not CPU 0's, and online or in the present pool. */
export function freeCores(topology: Topology, node: number, pool: readonly number[]): Core[] {
  return topology.cores.filter(
    (core) =>
      core.node === node &&
      core.cpus.length === topology.threadsPerCore &&
      !core.cpus.includes(0) &&
      (core.coreId === undefined || core.coreId < topology.maxCores) &&
      core.cpus.every((cpu) => topology.online.includes(cpu) || pool.includes(cpu)),
  );
}

/** Returns the NUMA nodes; a kernel without NUMA counts as one node 0. */
export function nodesOf(topology: Topology): readonly number[] {
  return topology.nodes.length === 0 ? [0] : topology.nodes;
}

/** Returns the size of the largest pool that one of the nodes could have, in CPUs. */
export function maxCpus(topology: Topology, pool: readonly number[], nodes = nodesOf(topology)): number {
  return Math.max(
    0,
    ...nodes.map((node) => freeCores(topology, node, pool).length * topology.threadsPerCore),
  );
}

/** Huge pages of a node by size. */
export interface PageCounts {
  readonly of1GiB: number;
  readonly of2MiB: number;
}

/** Returns their size in bytes. */
export function bytesOf({ of1GiB, of2MiB }: PageCounts): number {
  return of1GiB * GIGANTIC_PAGE_BYTES + of2MiB * HUGE_PAGE_BYTES;
}

/**
 * Returns how many pages of each size a node needs. Each enclave's memory is made of as many whole 1 GiB pages as fit,
 * and 2 MiB pages for the rest. Existing pages are kept where they fit, so that a repeated request changes nothing.
 * @param enclaves bytes of each. @param max1GiB how many 1 GiB pages the node can have.
 */
export function pageTargets(enclaves: readonly number[], have: PageCounts, max1GiB: number): PageCounts {
  const sizes = enclaves.map((bytes) => Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
  const needed = sizes.reduce((sum, bytes) => sum + bytes, 0);
  const fitting = sizes.reduce((sum, bytes) => sum + Math.floor(bytes / GIGANTIC_PAGE_BYTES), 0);
  const missing = Math.max(0, needed - bytesOf(have));
  const more = Math.min(Math.floor(missing / GIGANTIC_PAGE_BYTES), max1GiB - have.of1GiB);
  const of1GiB = Math.min(have.of1GiB + Math.max(0, more), fitting);
  return { of1GiB, of2MiB: (needed - of1GiB * GIGANTIC_PAGE_BYTES) / HUGE_PAGE_BYTES };
}
