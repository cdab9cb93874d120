/** What `nitro pool` prints, as text and as JSON. */
import { cpuListText } from "../../host/cpu/cpu-list.ts";
import type { Topology } from "../../host/cpu/topology.ts";
import { rangesBytes, rangesText } from "../../host/memory/huge-pages.ts";
import { pageSizeName } from "../../host/memory/page-sizes.ts";
import { type PageCounts, pagesOf } from "../../pool/plan.ts";
import type { PreparedPool } from "../../pool/prepare.ts";
import type { NodePageCount, PoolStatus, ReleasedPool } from "../../pool/status.ts";
import { sizeWithUnit } from "../../sys/units.ts";

function cpusText(cpus: readonly number[], cores: number): string {
  return `CPUs ${cpuListText(cpus)} (${cores} core${cores === 1 ? "" : "s"})`;
}

/** Returns ` on NUMA node 1` on a machine with several nodes. */
function placeText(topology: Topology, node: number | undefined): string {
  return topology.nodes.length > 1 && node !== undefined ? ` on NUMA node ${node}` : "";
}

/** Describes the pool as prepared. */
export function preparedText(prepared: PreparedPool): string {
  const { pool, poolChanged, poolNode, node, pages, pagesChanged, elsewhere, topology } = prepared;
  const size = sizeWithUnit(rangesBytes(pages));
  const unchanged = (changed: boolean) => (changed ? "" : ", unchanged");
  const cpus = pool.length === 0 ? "empty" : cpusText(pool, pool.length / topology.threadsPerCore);
  const others = elsewhere.map(
    (other) =>
      `unused: ${rangesText(other.pages)} on NUMA node ${other.node}, which this pool's enclaves cannot use; ` +
      `free them: nitro pool --node ${other.node} --memory 0\n`,
  );
  return (
    `pool: ${cpus}${placeText(topology, poolNode)}${unchanged(poolChanged)}\n` +
    `memory: ${size}, ${rangesText(pages)}${placeText(topology, node)}${unchanged(pagesChanged)}\n` +
    others.join("")
  );
}

/** Returns the numbers by size. Those of 2 MiB and 1 GiB are always there, so that a script need not ask. */
function countsJson(counts: PageCounts): unknown {
  const others = counts.map(({ pageBytes, pages }) => [pageSizeName(pageBytes), pages]);
  return { "2M": 0, "1G": 0, ...Object.fromEntries(others) };
}

/** Returns the JSON of the pool as prepared. */
export function preparedJson({
  pool,
  node,
  pages,
  poolChanged,
  pagesChanged,
  elsewhere,
}: PreparedPool): unknown {
  return {
    pool: cpuListText(pool),
    cpus: pool,
    node,
    hugePages: countsJson(pages),
    memoryBytes: rangesBytes(pages),
    changed: poolChanged || pagesChanged,
    elsewhere: elsewhere.map((other) => ({ node: other.node, hugePages: countsJson(other.pages) })),
  };
}

/** Describes the state of the pool. */
export function statusText({ pool, cores, node, pages, availableBytes, topology }: PoolStatus): string {
  const place = placeText(topology, node);
  const lines = pages.map((each) => `memory: ${pagesText(each, placeText(topology, each.node))}\n`);
  const free = node === undefined ? "" : `available to enclaves: ${sizeWithUnit(availableBytes)}${place}\n`;
  return (
    `pool: ${pool.length === 0 ? "empty" : cpusText(pool, cores.length)}${place}\n` +
    `${lines.join("") || "memory: no huge pages\n"}${free}`
  );
}

function pagesText({ pageBytes, total, free }: NodePageCount, place: string): string {
  return `${rangesText([{ pageBytes, pages: total }])}${place}, ${free} free`;
}

/** Returns the JSON of the state of the pool. */
export function statusJson({ pool, cores, node, topology, pages, availableBytes }: PoolStatus): unknown {
  return {
    pool: cpuListText(pool),
    cpus: pool,
    cores: cores.map(({ cpus }) => cpus),
    node: node ?? null,
    threadsPerCore: topology.threadsPerCore,
    hugePages: pages.map((each) => ({ ...each, node: each.node ?? null })),
    availableBytes,
  };
}

/** Describes what was released. */
export function releasedText({ pool, pagesBefore, pagesLeft, topology }: ReleasedPool): string {
  if (pool.length === 0) {
    const node = topology.nodes.length > 1 ? " --node N" : "";
    return (
      "nothing to release: the CPU pool is empty; huge pages are kept, as they may be for other programs; " +
      `free them: nitro pool${node} --memory 0\n`
    );
  }
  const freed = pagesBefore
    .map(({ pageBytes, pages }) => ({ pageBytes, pages: pages - pagesOf(pagesLeft, pageBytes) }))
    .filter(({ pages }) => pages > 0);
  const left =
    pagesLeft.length === 0 ? "" : `; ${rangesText(pagesLeft)} still in use, freed when their user exits`;
  return `released CPUs ${cpuListText(pool)} to the parent\nfreed ${rangesText(freed)}${left}\n`;
}

/** Returns the JSON of what was released. */
export function releasedJson({ pool, node, pagesBefore, pagesLeft }: ReleasedPool): unknown {
  return {
    cpus: pool,
    node: node ?? null,
    hugePagesBefore: countsJson(pagesBefore),
    hugePagesLeft: countsJson(pagesLeft),
  };
}
