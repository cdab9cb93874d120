/** The decisions of `nitro pool`: which cores of which node, and how many pages of which size. Changes nothing. */
import { ascending, cpuListText } from "../host/cpu/cpu-list.ts";
import { type Core, coreOf, poolShapeOf, type Topology } from "../host/cpu/topology.ts";
import { type PageRange, rangesBytes } from "../host/memory/huge-pages.ts";
import { onlineCommand } from "../host/paths.ts";
import { UserError } from "../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import { MIB } from "../sys/units.ts";

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

/** Huge pages, largest first, without sizes of which there are none. */
export type PageCounts = readonly PageRange[];

/** Returns how many pages of a size there are. */
export function pagesOf(counts: PageCounts, pageBytes: number): number {
  return counts.find((each) => each.pageBytes === pageBytes)?.pages ?? 0;
}

/** Whether two counts are equal. */
export function sameCounts(a: PageCounts, b: PageCounts): boolean {
  return a.length === b.length && a.every(({ pageBytes, pages }) => pages === pagesOf(b, pageBytes));
}

/** The huge pages that a node has, and which it can have. */
export interface NodeSupply {
  /** The sizes that the kernel supports, largest first. */
  readonly sizes: readonly number[];
  readonly have: PageCounts;
  /** How many pages of the size that largePageBytes returns it can have. */
  readonly maxLarge: number;
}

/**
 * Returns the size in which most of a large memory is reserved: the largest up to 1 GiB, if it is larger than 32 MiB.
 * Larger ones would rarely fit, smaller ones are not worth a size of their own.
 */
export function largePageBytes(sizes: readonly number[]): number | undefined {
  const large = sizes.find((pageBytes) => pageBytes <= GIGANTIC_PAGE_BYTES);
  return large !== undefined && large > MAX_SMALL_PAGE_BYTES ? large : undefined;
}

/** The largest page that wastes little of a memory of any size: 32 MiB, of arm64 kernels. */
const MAX_SMALL_PAGE_BYTES = 32 * MIB;

/**
 * Part of the memory that is not made into large pages. An enclave of any size then finds pages of exactly its size,
 * not only one of whole GiB: a larger page is donated whole.
 */
const SMALL_SHARE_BYTES = GIGANTIC_PAGE_BYTES;

/**
 * Returns how many pages of each size a node needs. Each enclave's memory is made of as many whole large pages as fit
 * beside the small share, and 2 MiB pages for the rest. Existing pages of any size are kept where they fit, so that a
 * repeated request changes nothing. @param enclaves bytes of each.
 */
export function pageTargets(enclaves: readonly number[], { sizes, have, maxLarge }: NodeSupply): PageCounts {
  const rests = enclaves.map((bytes) => Math.ceil(bytes / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
  let needed = rests.reduce((sum, bytes) => sum + bytes, 0);
  const large = largePageBytes(sizes);
  const targets: PageRange[] = [];
  const place = (pageBytes: number, wanted: number) => {
    const pages = placePages(rests, pageBytes, wanted);
    if (pages > 0) targets.push({ pageBytes, pages });
    needed -= pages * pageBytes;
  };
  for (const pageBytes of sizes) {
    if (pageBytes === HUGE_PAGE_BYTES) continue;
    const existing = pagesOf(have, pageBytes);
    // Not more than is missing: smaller pages that exist are kept.
    const missing = needed - rangesBytes(have.filter((each) => each.pageBytes <= pageBytes));
    const outsideShare = Math.floor((needed - SMALL_SHARE_BYTES) / pageBytes);
    const most = Math.min(existing + Math.floor(missing / pageBytes), outsideShare, maxLarge);
    place(pageBytes, pageBytes === large ? Math.max(existing, most) : existing);
  }
  place(HUGE_PAGE_BYTES, Number.POSITIVE_INFINITY);
  return targets;
}

/** Places at most `wanted` pages where they fit, and subtracts them from `rests`. Returns how many were placed. */
function placePages(rests: number[], pageBytes: number, wanted: number): number {
  let placed = 0;
  for (const [i, rest] of rests.entries()) {
    const pages = Math.min(Math.floor(rest / pageBytes), wanted - placed);
    rests[i] = rest - pages * pageBytes;
    placed += pages;
  }
  return placed;
}
