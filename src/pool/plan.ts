/** What `nitro pool` decides, without touching anything: which cores on which node, how many pages of which size. */
import { ascending, cpuListText } from "../host/cpu/cpu-list.ts";
import { coreOf, poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { UserError } from "../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";

/** What the pool is to be. */
export interface PoolRequest {
  /** CPUs by number, and so many more; undefined leaves the CPUs as they are. */
  readonly cpus:
    | { readonly list: readonly number[]; readonly more: number; readonly typed: string }
    | undefined;
  /** Bytes of each enclave's memory; undefined leaves the huge pages as they are. */
  readonly memory: { readonly bytes: readonly number[]; readonly typed: string } | undefined;
  /** The only node to be looked at. */
  readonly node: { readonly value: number; readonly typed: string } | undefined;
}

/**
 * Throws UserError for CPUs that no pool can have by the driver's rules, naming those that it could.
 * @param pool the CPUs that are in the pool now: they are offline, and may stay so.
 */
export function validateCpus(
  topology: Topology,
  { list, more, typed }: NonNullable<PoolRequest["cpus"]>,
  pool: readonly number[],
): void {
  const { threadsPerCore: threads } = topology;
  if (more % threads !== 0) {
    const below = more - (more % threads);
    const use = [below, below + threads].filter((count) => count > 0).map((count) => `--cpus ${count}`);
    throw new UserError(
      typed,
      `enclaves take whole cores, which have ${threads} threads here`,
      `use ${use.join(" or ")}`,
    );
  }
  const { missing, absent, nodes, hasCore0 } = poolShapeOf(topology, list);
  if (absent.length > 0) {
    throw new UserError(
      typed,
      `this machine has no CPU ${cpuListText(absent)}`,
      `its CPUs are ${cpuListText(topology.present)}`,
    );
  }
  if (hasCore0) {
    const core = cpuListText(coreOf(topology, 0)?.cpus ?? [0]);
    throw new UserError(typed, `CPU 0 and its core (${core}) stay the parent's`, otherCpus(topology, list));
  }
  if (missing.length > 0) {
    const whole = cpuListText([...list, ...missing]);
    throw new UserError(
      typed,
      `the driver takes whole cores; CPU ${cpuListText(missing)} is missing`,
      `use --cpu-list ${whole}`,
    );
  }
  if (nodes.length > 1) {
    const parts = nodes.map((node) =>
      cpuListText(list.filter((cpu) => coreOf(topology, cpu)?.node === node)),
    );
    throw new UserError(
      typed,
      `its CPUs are on NUMA nodes ${nodes.join(" and ")}, and the driver takes those of one`,
      `use ${parts.map((part) => `--cpu-list ${part}`).join(" or ")}`,
    );
  }
  const odd = list.filter((cpu) => (coreOf(topology, cpu)?.coreId ?? 0) >= topology.maxCores);
  if (odd.length > 0) {
    throw new UserError(
      typed,
      `the driver takes cores with a number below ${topology.maxCores}; that of CPU ${cpuListText(odd)} is higher`,
      "choose other CPUs, or let nitro choose: --cpus N",
    );
  }
  const offline = list.filter((cpu) => !topology.online.includes(cpu) && !pool.includes(cpu));
  if (offline.length > 0) {
    const on = offline.map((cpu) => `echo 1 > /sys/devices/system/cpu/cpu${cpu}/online`).join(" && ");
    throw new UserError(typed, `CPU ${cpuListText(offline)} is offline, and not by the pool`, on);
  }
}

function otherCpus(topology: Topology, list: readonly number[]): string {
  const core0 = coreOf(topology, 0)?.cpus ?? [0];
  const rest = list.filter((cpu) => !core0.includes(cpu));
  const whole = [...rest, ...poolShapeOf(topology, rest).missing];
  return whole.length > 0 ? `use --cpu-list ${cpuListText(whole)}` : `use --cpus ${topology.threadsPerCore}`;
}

/**
 * The CPUs on a node for a request that validateCpus has let pass: those named, and the lowest whole cores beside them,
 * cores of today's pool before others. Undefined where the node has too few.
 */
export function cpusOnNode(
  topology: Topology,
  { list, more }: { readonly list: readonly number[]; readonly more: number },
  node: number,
  pool: readonly number[],
): number[] | undefined {
  if (list.some((cpu) => coreOf(topology, cpu)?.node !== node)) return undefined;
  const cores = freeCores(topology, node, pool).filter(({ cpus }) => !cpus.some((cpu) => list.includes(cpu)));
  const inPool = (core: { readonly cpus: readonly number[] }) =>
    core.cpus.some((cpu) => pool.includes(cpu)) ? 0 : 1;
  cores.sort((a, b) => inPool(a) - inPool(b) || (a.cpus[0] ?? 0) - (b.cpus[0] ?? 0));
  const needed = more / topology.threadsPerCore;
  if (cores.length < needed) return undefined;
  return ascending([...list, ...cores.slice(0, needed).flatMap(({ cpus }) => cpus)]);
}

/** The whole cores of a node that the driver would take: not CPU 0's, online or in the pool already. */
export function freeCores(
  topology: Topology,
  node: number,
  pool: readonly number[],
): Topology["cores"][number][] {
  return topology.cores.filter(
    ({ cpus, node: its, coreId }) =>
      its === node &&
      cpus.length === topology.threadsPerCore &&
      !cpus.includes(0) &&
      (coreId === undefined || coreId < topology.maxCores) &&
      cpus.every((cpu) => topology.online.includes(cpu) || pool.includes(cpu)),
  );
}

/** Huge pages of a node by size. */
export interface PageCounts {
  readonly giant: number;
  readonly huge: number;
}

/** Their bytes. */
export function bytesOf({ giant, huge }: PageCounts): number {
  return giant * GIGANTIC_PAGE_BYTES + huge * HUGE_PAGE_BYTES;
}

/**
 * How many pages of each size a node is to have. 1 GiB pages come first, as many as fit whole into each enclave's
 * memory; the rest is of 2 MiB pages. Those that are there are kept where they fit: a second time, nothing changes.
 * @param enclaves bytes of each. @param mostGiant 1 GiB pages that can be had at all.
 */
export function pageTargets(enclaves: readonly number[], have: PageCounts, mostGiant: number): PageCounts {
  const whole = enclaves.map((bytes) => Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
  const wanted = whole.reduce((all, bytes) => all + bytes, 0);
  const fit = whole.reduce((all, bytes) => all + Math.floor(bytes / GIGANTIC_PAGE_BYTES), 0);
  const lacking = Math.max(0, wanted - bytesOf(have));
  const more = Math.min(Math.floor(lacking / GIGANTIC_PAGE_BYTES), mostGiant - have.giant);
  const giant = Math.min(have.giant + Math.max(0, more), fit);
  return { giant, huge: (wanted - giant * GIGANTIC_PAGE_BYTES) / HUGE_PAGE_BYTES };
}
