/**
 * The enclave's memory, from a plan to pages that the driver accepts: allocated on the pool's NUMA node, zeroed,
 * checked, and mapped in the order of their physical addresses if those are visible. Everything that the driver would
 * refuse is rejected here, because the driver loses each page that it refuses. Zeroing takes most of the time, so
 * threads start it early and work while the rest of the launch is prepared.
 */

import type { PageRange } from "../../host/memory/huge-pages.ts";
import { SyscallError, UserError } from "../../sys/errors.ts";
import { type FileRange, HugePageFile, type Mapping, mapRanges, wholeFileRange } from "../../sys/memory.ts";
import { isNotPermitted, pagesByNode, withNumaPolicy } from "../../sys/numa.ts";
import type { PageMap } from "../../sys/page-map.ts";
import type { System } from "../../sys/system.ts";
import type { PreallocCallbacks } from "../../sys/threads/prealloc.ts";
import { sizeWithUnit } from "../../sys/units.ts";
import { CHECK_INTERVAL_BYTES } from "../cancellation.ts";
import type { MemoryPlan } from "../plan/memory.ts";
import { ascendingOrder, contiguousRuns, countRegions } from "./physical-order.ts";
import type { Preallocation, PreallocPlan } from "./prealloc.ts";

/** Mapping the pages again takes time too: at least one region must be saved per this many mappings. */
const MAPPINGS_PER_SAVED_REGION = 16;
/** No known driver refuses this few regions. With more, a single region can make the driver refuse the memory. */
const SAFE_REGIONS = 64;

/** A part of the mapping that is donated at once: pages of one size. In bytes. */
export interface Donation {
  readonly address: number;
  readonly length: number;
  readonly pageBytes: number;
}

/** Memory that is ready for the image. */
export interface AllocatedMemory extends Disposable {
  readonly mapping: Mapping;
  readonly donations: readonly Donation[];
  /** Regions that the driver makes of it; undefined if the physical addresses are not visible. */
  readonly regions: number | undefined;
}

/** How to allocate the memory. */
export interface AllocationOptions {
  readonly plan: MemoryPlan;
  /** undefined if this thread allocates alone. */
  readonly prealloc: PreallocPlan | undefined;
  /** undefined if the kernel hides physical addresses. */
  readonly pageMap: PageMap | undefined;
  /** Whether the pages may be mapped again with this number of mappings. */
  readonly mappingsAllowed: (mappings: number) => boolean;
  /** Called while the pages are allocated. Both callbacks may throw to cancel the allocation. */
  readonly callbacks: PreallocCallbacks;
}

/** Pages of one size and their files, which follow one another in the mapping; the last file may be shorter. */
interface RangeWithFiles extends PageRange {
  readonly files: readonly HugePageFile[];
}

/** Memory that is being allocated; disposal releases all of it. */
export interface PendingAllocation extends Disposable {
  /** Completes the allocation; call it once. Throws UserError, SyscallError, and what the callbacks throw. */
  finish(): AllocatedMemory;
}

/** Reserves the memory and starts the threads of the plan, if any, which allocate it. Throws SyscallError. */
export function startAllocation(system: System, options: AllocationOptions): PendingAllocation {
  const { plan, prealloc } = options;
  using stack = new DisposableStack();
  const started = withNodePolicy(system, plan, (): StartedAllocation => {
    const ranges = plan.ranges.map((range) => createFiles(system, range, prealloc, stack));
    const fileRanges: FileRange[] = [];
    for (const { files } of ranges) for (const file of files) fileRanges.push(wholeFileRange(file));
    const mapping = stack.use(mapRanges(system, fileRanges));
    const preallocation = stack.use(prealloc?.start(ranges.map(({ files }) => files)));
    return { ranges, mapping, preallocation };
  });
  const owned = stack.move();
  return {
    finish() {
      using resources = owned.move();
      const ordered = finishAllocation(system, options, started);
      const mapping = resources.use(ordered?.mapping) ?? started.mapping;
      // The first mapping, if it was replaced, and the files are released with the rest, when no step waits for it.
      const owner = resources.move();
      return {
        mapping,
        donations: withAddresses(plan.ranges, mapping.start).map(({ address, length, pageBytes }) => ({
          address,
          length,
          pageBytes,
        })),
        regions: ordered?.regions,
        [Symbol.dispose]: () => owner.dispose(),
      };
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

interface MappedFiles {
  readonly mapping: Mapping;
  readonly ranges: readonly RangeWithFiles[];
}

interface StartedAllocation extends MappedFiles {
  readonly preallocation: Preallocation | undefined;
}

/** A result, and whether the kernel bound its allocations to the plan's node. */
type WithBinding<T> = T & { readonly bound: boolean };

/** Allocates the remaining pages and checks all of them. */
function finishAllocation(
  system: System,
  options: AllocationOptions,
  started: StartedAllocation,
): OrderedMapping | undefined {
  const { plan, pageMap, callbacks } = options;
  const memory = withNodePolicy(system, plan, () => allocateAll(started, callbacks));
  if (plan.node !== undefined || pageMap !== undefined) populate(memory);
  checkNodes(system, plan, memory);
  return pageMap === undefined ? undefined : mapInPhysicalOrder(system, memory, options, pageMap);
}

/** Adds the address and length of consecutive ranges in a mapping that starts at `start`. */
function withAddresses<R extends PageRange>(ranges: readonly R[], start: number): (R & Donation)[] {
  let address = start;
  return ranges.map((range) => {
    const length = range.pageBytes * range.pages;
    address += length;
    return { ...range, address: address - length, length };
  });
}

/**
 * Runs `allocate` with this thread's memory bound to the plan's node, if permitted; new threads inherit the policy.
 */
function withNodePolicy<T extends object>(
  system: System,
  plan: MemoryPlan,
  allocate: () => T,
): WithBinding<T> {
  const { node } = plan;
  if (node === undefined) return { ...allocate(), bound: false };
  try {
    return { ...withNumaPolicy(system, "bind", [node], allocate), bound: true };
  } catch (error) {
    const ofPolicy = error instanceof SyscallError && /_mempolicy$/.test(error.call);
    if (!ofPolicy || !isNotPermitted(error)) throw error;
    return { ...allocate(), bound: false };
  }
}

/** Creates the files of a range: one, or as many as the plan's threads need. */
function createFiles(
  system: System,
  range: PageRange,
  prealloc: PreallocPlan | undefined,
  owner: DisposableStack,
): RangeWithFiles {
  const { pageBytes, pages } = range;
  const perFile = Math.ceil(pages / (prealloc?.filesFor(pages) ?? 1));
  const files: HugePageFile[] = [];
  for (let left = pages; left > 0; left -= perFile) {
    files.push(owner.use(HugePageFile.create(system, pageBytes, pageBytes * Math.min(perFile, left))));
  }
  return { ...range, files };
}

/** Allocates all files, together with the running threads or else alone, file by file. */
function allocateAll(started: StartedAllocation, callbacks: PreallocCallbacks): StartedAllocation {
  const { preallocation, ranges } = started;
  if (preallocation !== undefined) preallocation.finish(callbacks);
  else for (const { files } of ranges) for (const file of files) allocateFile(file, callbacks);
  return started;
}

function allocateFile(file: HugePageFile, { step }: PreallocCallbacks): void {
  const chunk = Math.max(CHECK_INTERVAL_BYTES, file.pageBytes);
  for (let offset = 0; offset < file.size; offset += chunk) {
    const length = Math.min(chunk, file.size - offset);
    file.allocate(offset, length);
    step(length);
  }
}

/** Puts every page into the page table, which move_pages(2) and the page map read. */
function populate({ mapping, ranges }: MappedFiles): void {
  for (const { address, length, pageBytes, files } of withAddresses(ranges, mapping.start)) {
    const [zeros] = files;
    if (zeros !== undefined) mapping.populate(address - mapping.start, length, pageBytes, zeros);
  }
}

/** Throws UserError if a page is, or may be, on another NUMA node than the CPU pool. */
function checkNodes(
  system: System,
  plan: MemoryPlan,
  { mapping, ranges, bound }: WithBinding<MappedFiles>,
): void {
  const { node } = plan;
  if (node === undefined) return;
  for (const { address, pages, pageBytes } of withAddresses(ranges, mapping.start)) {
    const counts = pagesByNode(system, address, pageBytes, pages);
    if (counts === undefined && bound) continue;
    const onNode = counts?.get(node) ?? 0;
    if (onNode === pages) continue;
    const why =
      counts === undefined
        ? `cannot check that the huge pages are on NUMA node ${node}, the node of the CPU pool`
        : `${pages - onNode} of ${pages} huge pages of ${sizeWithUnit(pageBytes)} are not on NUMA node ${node}, ` +
          "the node of the CPU pool";
    throw new UserError(
      plan.typed,
      `${why}; nothing was donated, because the driver loses each page that it refuses`,
      `start nitro with numactl --membind=${node}, or permit set_mempolicy and move_pages ` +
        "(in a container: CAP_SYS_NICE)",
    );
  }
}

interface OrderedMapping {
  readonly regions: number;
  /** The pages in physical order; undefined if they stay in the first mapping. */
  readonly mapping?: Mapping;
}

/**
 * Maps the pages again in physical order, if that saves enough regions and the mappings are allowed. Returns
 * undefined if an address is not visible.
 */
function mapInPhysicalOrder(
  system: System,
  { mapping, ranges }: MappedFiles,
  { mappingsAllowed }: AllocationOptions,
  pageMap: PageMap,
): OrderedMapping | undefined {
  let [current, fewest] = [0, 0];
  const fileRanges: FileRange[] = [];
  for (const { address, pageBytes, pages, files } of withAddresses(ranges, mapping.start)) {
    const addresses = pageMap.addresses(address, pageBytes, pages);
    const regions = addresses === undefined ? 0 : countRegions(addresses, pageBytes);
    const order = addresses === undefined ? undefined : ascendingOrder(addresses, pageBytes);
    if (order === undefined) return undefined;
    current += regions;
    fewest += order.regions;
    const inOrder = order.regions === regions;
    const added = inOrder ? files.map(wholeFileRange) : rangesInOrder(files, pageBytes, order.indices);
    // Not push(...added): there may be more ranges than a call can have arguments.
    for (const range of added) fileRanges.push(range);
  }
  // Not a system call, but the reason for the mmap calls that follow.
  system.trace.call?.("regions", `${fileRanges.length} mappings, ${current} regions now`, fewest);
  const worthIt = current - fewest > fileRanges.length / MAPPINGS_PER_SAVED_REGION || current > SAFE_REGIONS;
  if (fewest === current || !worthIt || !mappingsAllowed(fileRanges.length)) return { regions: current };
  try {
    return { regions: fewest, mapping: mapRanges(system, fileRanges) };
  } catch (error) {
    // Some limit on mappings was reached. The first mapping works if the driver has enough regions.
    if (error instanceof SyscallError) return { regions: current };
    throw error;
  }
}

function rangesInOrder(files: readonly HugePageFile[], pageBytes: number, indices: Uint32Array): FileRange[] {
  const perFile = (files[0]?.size ?? 0) / pageBytes;
  const ranges: FileRange[] = [];
  for (const { first, pages } of contiguousRuns(indices, perFile)) {
    const file = files[Math.floor(first / perFile)];
    const offset = (first % perFile) * pageBytes;
    if (file !== undefined) ranges.push({ file, offset, length: pages * pageBytes });
  }
  return ranges;
}
