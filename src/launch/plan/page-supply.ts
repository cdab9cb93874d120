/** Selects huge pages of any size that the kernel has. Loaded only if those of the usual sizes do not suffice. */
import { poolCpus } from "../../host/cpu/cpus.ts";
import {
  availablePages,
  overcommitPages,
  type PageRange,
  rangesBytes,
  rangesText,
} from "../../host/memory/huge-pages.ts";
import { hugePageSizes } from "../../host/memory/page-sizes.ts";
import type { UserError } from "../../sys/errors.ts";
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import type { System } from "../../sys/system.ts";
import { MIB } from "../../sys/units.ts";
import type { MemoryBackend } from "../options.ts";
import {
  EXPECTED_IMAGE_OFFSET,
  leastMemory,
  type MemoryPlan,
  type MemorySize,
  type PageSupply,
  planPages,
} from "./memory.ts";
import { type MemoryDemand, type MemorySource, memorySource } from "./memory-source.ts";
import { shortage } from "./page-shortage.ts";

/**
 * Selects pages of all sizes: free ones of exactly the size, or else with those that the kernel may allocate on demand,
 * or else larger ones, which are donated whole. Throws UserError.
 */
export function planPagesOfAnySize(
  system: System,
  { size, backend, imageBytes, vcpus }: MemoryDemand,
  source: MemorySource,
): MemoryPlan {
  const supply = supplyOfAnySize(system, source.node, backend?.pageBytes);
  const all = withSurplus(system, supply);
  const { bytes } = size;
  const ranges =
    planPages(bytes, supply) ??
    planPages(bytes, all) ??
    (backend?.pageBytes === undefined
      ? (planLargerPages(bytes, supply) ?? planLargerPages(bytes, all))
      : undefined);
  if (ranges !== undefined) return { ...size, ranges, node: source.node };
  const least = leastMemory(EXPECTED_IMAGE_OFFSET, imageBytes);
  const missingCpus = vcpus !== undefined && poolCpus(system).length === 0 ? vcpus : undefined;
  throw shortage(system, { size, source, supply, least, backend, missingCpus });
}

/** Returns why the free pages do not suffice; undefined if they do. */
export function freePagesShortage(
  system: System,
  size: MemorySize,
  backend: MemoryBackend | undefined,
): UserError | undefined {
  const source = memorySource(system, backend);
  const supply = supplyOfAnySize(system, source.node, backend?.pageBytes);
  if (suffices(supply, size, backend)) return undefined;
  return shortage(system, { size, source, supply, least: size.bytes, backend, missingCpus: undefined });
}

/** Whether the pages suffice for the memory. @param backend may permit one page size only. */
export function suffices(
  supply: readonly PageSupply[],
  { bytes }: MemorySize,
  backend: MemoryBackend | undefined,
): boolean {
  const plan = backend?.pageBytes === undefined ? planLargerPages : planPages;
  return plan(bytes, supply) !== undefined;
}

/**
 * Selects pages of at least the size, with as little beyond it as possible: of exactly the size rounded up to a page
 * size, without smaller pages, for the smallest page size that allows it. Returns undefined if all pages together do
 * not suffice. @param supply largest pages first.
 */
export function planLargerPages(
  bytes: number,
  supply: readonly PageSupply[],
): readonly PageRange[] | undefined {
  for (let count = supply.length; count > 0; count--) {
    const usable = supply.slice(0, count);
    const unit = usable.at(-1)?.pageBytes ?? 1;
    const ranges = planPages(Math.ceil(bytes / unit) * unit, usable);
    if (ranges !== undefined) return ranges;
  }
  return undefined;
}

/** Returns a warning if the pages have more memory than requested, else undefined. */
export function excessWarning({ typed, bytes, ranges }: MemoryPlan): string | undefined {
  const excess = rangesBytes(ranges) - bytes;
  if (excess === 0) return undefined;
  const whole = ranges.length === 1 && ranges[0]?.pages === 1 ? "is donated whole" : "are donated whole";
  return (
    `warning: ${typed}: too few smaller huge pages are free, so ${rangesText(ranges)} ${whole}, ` +
    `${excess / MIB} MiB more than needed`
  );
}

/** Counts the pages of all sizes, largest first. @param pageBytes the only permitted size, if one was requested. */
export function supplyOfAnySize(
  system: System,
  node: number | undefined,
  pageBytes: number | undefined,
): readonly PageSupply[] {
  const sizes = pageBytes === undefined ? hugePageSizes(system) : [pageBytes];
  // Counters that cannot be read do not prevent a launch: the allocation fails if there are no pages.
  const uncounted = (each: number) =>
    each === (pageBytes ?? HUGE_PAGE_BYTES) ? Number.POSITIVE_INFINITY : 0;
  return sizes.map((each) => ({
    pageBytes: each,
    pages: availablePages(system, each, node) ?? uncounted(each),
  }));
}

/**
 * Adds the pages that the kernel may allocate on demand (nr_overcommit_hugepages); the allocation fails if it cannot.
 */
function withSurplus(system: System, supply: readonly PageSupply[]): readonly PageSupply[] {
  return supply.map(({ pageBytes, pages }) => ({
    pageBytes,
    pages: pages + overcommitPages(system, pageBytes),
  }));
}
