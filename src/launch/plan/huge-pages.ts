/**
 * Selects the huge pages of an enclave before it is created. The driver accepts only pages on the node of the CPU
 * pool, and loses a page for good with each one that it refuses.
 */

import { poolCpus, threadsPerCore } from "../../host/cpu/cpus.ts";
import { nodeOfCpu, numaNodes } from "../../host/cpu/nodes.ts";
import { freeMemory } from "../../host/memory/free-memory.ts";
import {
  availablePages,
  hugePageDirectory,
  hugePages,
  overcommitPages,
} from "../../host/memory/huge-pages.ts";
import { asRoot } from "../../host/problem.ts";
import { type Fix, UserError } from "../../sys/errors.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { MIB } from "../../sys/units.ts";
import type { MemoryBackend } from "../options.ts";
import {
  EXPECTED_IMAGE_OFFSET,
  leastMemory,
  type MemoryPlan,
  type MemorySize,
  mostMemory,
  type PageSupply,
  pageText,
  planPages,
  sizeText,
} from "./memory.ts";

/** Where the memory may come from. */
interface MemorySource {
  /** The NUMA nodes of the parent instance. */
  readonly nodes: readonly number[];
  /** The node of the CPU pool, if there are several nodes and the pool is known. */
  readonly node: number | undefined;
}

/** Reads the nodes, and the node of the CPU pool if there are several. */
function memorySource(system: System): MemorySource {
  const nodes = numaNodes(system);
  if (nodes.length <= 1) return { nodes, node: undefined };
  const [first] = poolCpus(system);
  return { nodes, node: first === undefined ? undefined : nodeOfCpu(system, first, nodes) };
}

/** Throws UserError if -object requires memory on another node than that of the CPU pool. */
function checkPolicy(backend: MemoryBackend | undefined, { nodes, node }: MemorySource): void {
  if (backend === undefined || backend.policy === "default") return;
  const { hostNodes, policy, typed } = backend;
  const there = nodes.length === 0 ? [0] : nodes;
  const absent = hostNodes.filter((each) => !there.includes(each));
  if (absent.length > 0) {
    const which = there.length === 1 ? `node ${there[0]} only` : `nodes ${there.join(", ")}`;
    throw new UserError(typed, `host-nodes: there is no NUMA node ${absent[0]}; this machine has ${which}`);
  }
  if (node === undefined) return;
  const others = hostNodes.filter((each) => each !== node);
  if (hostNodes.includes(node) && (others.length === 0 || policy === "bind")) return;
  const why =
    policy === "interleave" && hostNodes.includes(node)
      ? `interleave would put pages on node ${others.join(" and ")}`
      : `host-nodes is ${hostNodes.join(" and ")}`;
  throw new UserError(
    typed,
    `${why}, but the CPU pool is on NUMA node ${node}, and an enclave's memory must be there too`,
    `policy=bind,host-nodes=${node}, or leave out -object: memory is bound to the pool's node anyway`,
  );
}

/** The memory that a launch needs. */
interface MemoryDemand {
  readonly size: MemorySize;
  readonly backend: MemoryBackend | undefined;
  readonly imageBytes: number;
  /** The vCPUs of the launch, for the fix of an empty pool; undefined if it is reported separately. */
  readonly vcpus?: number;
}

/** Selects the pages. Throws UserError if the free ones do not suffice. */
export function planMemoryPages(
  system: System,
  { size, backend, imageBytes, vcpus }: MemoryDemand,
): MemoryPlan {
  const source = memorySource(system);
  checkPolicy(backend, source);
  const pageBytes = backend?.pageBytes;
  const supply = supplyOf(system, size, source.node, pageBytes);
  const ranges =
    planPages(size.bytes, supply, pageBytes) ?? planPages(size.bytes, withSurplus(system, supply), pageBytes);
  if (ranges === undefined) {
    const least = leastMemory(EXPECTED_IMAGE_OFFSET, imageBytes);
    const poolIsEmpty = vcpus !== undefined && poolCpus(system).length === 0;
    throw shortage(system, { size, source, least, backend, missingCpus: poolIsEmpty ? vcpus : undefined });
  }
  return { ...size, ranges, node: source.node };
}

/** Returns why the free pages do not suffice; undefined if they do. */
export function freePagesShortage(
  system: System,
  size: MemorySize,
  backend: MemoryBackend | undefined,
): UserError | undefined {
  const source = memorySource(system);
  const pageBytes = backend?.pageBytes;
  const supply = supplyOf(system, size, source.node, pageBytes);
  if (planPages(size.bytes, supply, pageBytes) !== undefined) return undefined;
  return shortage(system, { size, source, least: size.bytes, backend, missingCpus: undefined });
}

function supplyOf(
  system: System,
  size: MemorySize,
  node: number | undefined,
  pageBytes: number | undefined,
): PageSupply {
  const wanted = (each: number) => (pageBytes ?? each) === each && size.bytes >= each;
  return {
    giant: wanted(GIGANTIC_PAGE_BYTES) ? availablePages(system, GIGANTIC_PAGE_BYTES, node) : 0,
    huge: wanted(HUGE_PAGE_BYTES) ? availablePages(system, HUGE_PAGE_BYTES, node) : 0,
  };
}

/**
 * Adds the pages that the kernel may allocate on demand (nr_overcommit_hugepages); the allocation fails if it cannot.
 */
function withSurplus(system: System, supply: PageSupply): PageSupply {
  if (supply.huge === undefined) return supply;
  return { ...supply, huge: supply.huge + overcommitPages(system, HUGE_PAGE_BYTES) };
}

/** Memory that the free pages cannot provide. */
interface UnmetDemand {
  readonly size: MemorySize;
  readonly source: MemorySource;
  /** The smallest size that would do, in bytes. */
  readonly least: number;
  readonly backend: MemoryBackend | undefined;
  /** CPUs that the fix adds to an empty pool. */
  readonly missingCpus: number | undefined;
}

/** Describes a shortage: what is free, by size and node, and how to reserve more. */
function shortage(system: System, { size, source, least, backend, missingCpus }: UnmetDemand): UserError {
  const { nodes, node } = source;
  const pageBytes = backend?.pageBytes;
  const sizes = [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES].filter((each) => (pageBytes ?? each) === each);
  const giant = availablePages(system, GIGANTIC_PAGE_BYTES, node);
  const supply = { giant, huge: availablePages(system, HUGE_PAGE_BYTES, node) };
  const most = mostMemory(size.bytes, supply, pageBytes);
  const others = node === undefined ? [] : nodes.filter((each) => each !== node);
  const elsewhere = others.map((each) => `${countsText(system, sizes, each)} on node ${each}`).join(", ");
  const where = node === undefined ? "" : ` on NUMA node ${node}, where the CPU pool is`;
  const up = Math.ceil(size.bytes / GIGANTIC_PAGE_BYTES);
  const option = backend === undefined ? "-m " : "size=";
  const wholePages = pageBytes === undefined && up <= (giant ?? 0) ? up * GIGANTIC_PAGE_BYTES : undefined;
  const why =
    `not enough huge pages: need ${size.bytes / MIB} MiB, ${most / MIB} MiB free ` +
    `(${countsText(system, sizes, node)})${where}` +
    (elsewhere === "" ? "" : `; the driver does not accept pages of other nodes (${elsewhere})`) +
    (wholePages === undefined ? "" : "; a page of 1 GiB is donated whole");
  const fitting = [most >= least ? most : undefined, wholePages].filter((bytes) => bytes !== undefined);
  const smaller = fitting.map((bytes) => `${option}${sizeText(bytes)}`).join(" or ");
  if (nodes.length > 1 && node === undefined && pageBytes === undefined) {
    const both = asRoot(`nitro pool --cpus ${threadsPerCore(system)} --memory ${size.bytes / MIB}`);
    const hint = `the CPU pool, which determines the NUMA node, is empty; prepare both: ${both}`;
    return new UserError(size.typed, why, hint, { command: both });
  }
  const fix = reserving(system, size.bytes - most, node, pageBytes);
  if (fix.obtainable !== undefined) {
    return tooMuch(size, why, { most, least, obtainable: fix.obtainable }, backend);
  }
  const withCpus = (text: string) =>
    missingCpus === undefined ? text : text.replace("nitro pool ", `nitro pool --cpus ${missingCpus} `);
  const hint = `${withCpus(fix.hint)}${smaller === "" ? "" : `; or use ${smaller}`}`;
  return new UserError(size.typed, why, hint, { command: withCpus(fix.command) });
}

/** Describes a demand that exceeds the parent's memory, however its pages are reserved. */
function tooMuch(
  size: MemorySize,
  why: string,
  { most, least, obtainable }: { most: number; least: number; obtainable: number },
  backend: MemoryBackend | undefined,
): UserError {
  const rest = "or use an instance with more memory";
  const bytes = most >= least ? most : obtainable;
  const message = `${why}; not enough memory is free to reserve more`;
  if (bytes < least) return new UserError(size.typed, message, rest.slice(3));
  const option = backend === undefined ? "-m " : "size=";
  const command = most >= least ? undefined : asRoot(`nitro pool --memory ${bytes / MIB}`);
  const parts = [command, `use ${option}${sizeText(bytes)}`, rest].filter((part) => part !== undefined);
  const remedy: Fix = { command, options: backend === undefined ? ["-m", sizeText(bytes)] : undefined };
  return new UserError(size.typed, message, parts.join("; "), remedy);
}

/** Returns the free pages: `2 of 4 pages of 1 GiB, 80 of 300 pages of 2 MiB`. */
function countsText(system: System, sizes: readonly number[], node: number | undefined): string {
  const texts = sizes.map((each) => {
    const total = hugePages(system, each, node).total ?? 0;
    // 1 GiB pages are mentioned only if some are reserved.
    if (total === 0 && sizes.length > 1 && each === GIGANTIC_PAGE_BYTES) return "";
    return `${availablePages(system, each, node) ?? 0} of ${total} pages of ${pageText(each)}`;
  });
  return texts.filter((text) => text !== "").join(", ");
}

/** A way to reserve the missing bytes. */
interface Reserving {
  readonly command: string;
  /** The command, and an alternative. */
  readonly hint: string;
  readonly obtainable: number | undefined;
}

/** The part of the free and cached memory that stays with the parent. */
const PARENT_SHARE = 0.1;

/**
 * Returns how to reserve the missing bytes. `obtainable` is the number of bytes that the node can provide, if it is
 * less.
 */
function reserving(system: System, missing: number, node: number | undefined, pageBytes?: number): Reserving {
  const memory = freeMemory(system, node);
  const all = (memory?.free ?? Number.POSITIVE_INFINITY) + (memory?.cached ?? 0);
  const spare = Math.floor((all * (1 - PARENT_SHARE)) / HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
  const obtainable = missing > all ? spare : undefined;
  const cached = memory !== undefined && missing > memory.free;
  const echo = (each: number, directory: string) => {
    const wanted = (hugePages(system, each, node).total ?? 0) + missing / each;
    return `echo ${wanted} > ${directory}/nr_hugepages`;
  };
  const dropCaches = cached ? "sync; echo 3 > /proc/sys/vm/drop_caches; " : "";
  if (pageBytes === GIGANTIC_PAGE_BYTES) {
    const command = asRoot(
      `${dropCaches}${echo(GIGANTIC_PAGE_BYTES, hugePageDirectory(GIGANTIC_PAGE_BYTES, node))}`,
    );
    return { command, hint: `${command} (or at boot: hugepagesz=1G hugepages=N)`, obtainable };
  }
  const huge = node === undefined ? "/proc/sys/vm" : hugePageDirectory(HUGE_PAGE_BYTES, node);
  const small = echo(HUGE_PAGE_BYTES, huge);
  // Pages of 2 MiB only: nitro pool would reserve larger ones first.
  if (pageBytes !== undefined) {
    const command = asRoot(`${dropCaches}${small}`);
    return { command, hint: command, obtainable };
  }
  const totals = [GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES].map(
    (each) => each * (hugePages(system, each, node).total ?? 0),
  );
  const wanted = totals.reduce((sum, bytes) => sum + bytes, missing);
  const command = asRoot(`${dropCaches}nitro pool --memory ${wanted / MIB}`);
  const fragmented = memory !== undefined && memory.contiguousPages * HUGE_PAGE_BYTES < missing;
  return {
    command,
    hint: `${command}, or ${small}${fragmented ? " (free memory is fragmented; nitro pool compacts it first)" : ""}`,
    obtainable,
  };
}
