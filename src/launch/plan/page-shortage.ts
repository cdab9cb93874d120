/** Describes that the free huge pages do not suffice, and how to reserve more. */
import { threadsPerCore } from "../../host/cpu/cpus.ts";
import { freeMemory } from "../../host/memory/free-memory.ts";
import { availablePages, hugePageDirectory, hugePages } from "../../host/memory/huge-pages.ts";
import { hugePageSizes, pageSizeName } from "../../host/memory/page-sizes.ts";
import { asRoot } from "../../host/problem.ts";
import { type Fix, UserError } from "../../sys/errors.ts";
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { MIB, sizeWithUnit } from "../../sys/units.ts";
import type { MemoryBackend } from "../options.ts";
import { type MemorySize, type PageSupply, sizeText, takePages } from "./memory.ts";
import type { MemorySource } from "./memory-source.ts";

/** Memory that the free pages cannot provide. */
export interface UnmetDemand {
  readonly size: MemorySize;
  readonly source: MemorySource;
  /** The free pages, largest first. */
  readonly supply: readonly PageSupply[];
  /** The smallest size that would do, in bytes. */
  readonly least: number;
  readonly backend: MemoryBackend | undefined;
  /** CPUs that the fix adds to an empty pool. */
  readonly missingCpus: number | undefined;
}

/** Describes a shortage: what is free, by size and node, and how to reserve more. */
export function shortage(system: System, demand: UnmetDemand): UserError {
  const { size, source, supply, least, backend, missingCpus } = demand;
  const { nodes, node } = source;
  const pageBytes = backend?.pageBytes;
  const sizes = supply.map((each) => each.pageBytes);
  const most = mostMemory(size.bytes, supply);
  const others = node === undefined ? [] : nodes.filter((each) => each !== node);
  const elsewhere = others.map((each) => `${countsText(system, sizes, each)} on node ${each}`).join(", ");
  const where = node === undefined ? "" : ` on NUMA node ${node}, where the CPU pool is`;
  const option = backend === undefined ? "-m " : "size=";
  const why =
    `not enough huge pages: need ${size.bytes / MIB} MiB, ${most / MIB} MiB free ` +
    `(${countsText(system, sizes, node)})${where}` +
    (elsewhere === "" ? "" : `; the driver does not accept pages of other nodes (${elsewhere})`);
  const smaller = most >= least ? `; or use ${option}${sizeText(most)}` : "";
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
  const hint = `${withCpus(fix.hint)}${smaller}`;
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
    // Sizes other than the smallest are mentioned only if some pages are reserved.
    if (total === 0 && each !== sizes.at(-1)) return "";
    return `${availablePages(system, each, node) ?? 0} of ${total} pages of ${sizeWithUnit(each)}`;
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

const FRAGMENTED = " (free memory is fragmented; nitro pool compacts it first)";

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
  // More would leave the parent so little that the kernel ends processes (OOM).
  const obtainable = missing > spare ? spare : undefined;
  const cached = memory !== undefined && missing > memory.free;
  // Not /proc/sys/vm/nr_hugepages: it is of the default size, which is not 2 MiB on every kernel.
  const echo = (each: number) => {
    const wanted = (hugePages(system, each, node).total ?? 0) + Math.ceil(missing / each);
    return `echo ${wanted} > ${hugePageDirectory(each, node)}/nr_hugepages`;
  };
  const dropCaches = cached ? "sync; echo 3 > /proc/sys/vm/drop_caches; " : "";
  // Pages of one size only: nitro pool would reserve others as well.
  if (pageBytes !== undefined) {
    const command = asRoot(`${dropCaches}${echo(pageBytes)}`);
    const atBoot = ` (or at boot: hugepagesz=${pageSizeName(pageBytes)} hugepages=N)`;
    return { command, hint: pageBytes === HUGE_PAGE_BYTES ? command : `${command}${atBoot}`, obtainable };
  }
  let wanted = missing;
  for (const each of hugePageSizes(system)) wanted += each * (hugePages(system, each, node).total ?? 0);
  const command = asRoot(`${dropCaches}nitro pool --memory ${wanted / MIB}`);
  const fragmented = memory !== undefined && memory.contiguousPages * HUGE_PAGE_BYTES < missing;
  return {
    command,
    hint: `${command}, or ${echo(HUGE_PAGE_BYTES)}${fragmented ? FRAGMENTED : ""}`,
    obtainable,
  };
}

/** Returns the largest size up to `bytes` that the supply allows. @param supply largest pages first. */
export function mostMemory(bytes: number, supply: readonly PageSupply[]): number {
  return bytes - takePages(bytes, supply).rest;
}
