/**
 * From a memory plan to pages that the driver accepts: allocated on the right node, zeroed, verified, and mapped in
 * physical order where the page frames are visible. Everything that the driver would refuse is found here, because
 * each refusal costs a huge page. Zeroing takes longest, so it starts early and threads do it while the launch goes
 * on.
 */

import { SyscallError, UserError } from "../../sys/errors.ts";
import { type FileRange, HugePageFile, type Mapping, mapRanges, wholeFileRange } from "../../sys/memory.ts";
import { isNotPermitted, pagesByNode, withNumaPolicy } from "../../sys/numa.ts";
import type { PageMap } from "../../sys/page-map.ts";
import type { System } from "../../sys/system.ts";
import type { PreallocCallbacks } from "../../sys/threads/prealloc.ts";
import { CHECK_INTERVAL_BYTES } from "../cancellation.ts";
import { type MemoryPlan, type PageRange, pageText } from "../plan/memory.ts";
import { ascendingOrder, regionsOf, runsOf } from "./physical-order.ts";
import type { Filling, Together } from "./prealloc.ts";

/** Mapping pieces again takes time as well: it is done for a region less in so many of them. */
const PIECES_PER_REGION = 16;
/** So few regions no driver was seen to refuse: beyond that, each region less may decide. */
const SURELY_TAKEN = 64;

/** A part of the mapping that is donated at once: pages of one size. Bytes. */
export interface Donation {
  readonly address: number;
  readonly length: number;
  readonly pageBytes: number;
}

/** Memory that is ready for the image. */
export interface PreparedMemory extends Disposable {
  readonly mapping: Mapping;
  readonly donations: readonly Donation[];
  /** Regions that the driver will make of it; undefined where it is not told which pages they are. */
  readonly regions: number | undefined;
}

/** What a preparation goes by. */
export interface Preparing {
  readonly plan: MemoryPlan;
  /** undefined where one thread does it. */
  readonly together: Together | undefined;
  /** The page map; undefined if frame numbers are not visible. */
  readonly pageMap: PageMap | undefined;
  /** Whether pages may be mapped again by so many mappings. */
  readonly mayMap: (mappings: number) => boolean;
  /** Callbacks while waiting for the threads, which may throw to cancel. */
  readonly watch: PreallocCallbacks;
}

/** Pages of one size, and the files that they are in, one after another in the mapping; the last may be shorter. */
interface FiledRange extends PageRange {
  readonly files: readonly HugePageFile[];
}

/** Memory that is being prepared; the end of it gives it all back. */
export interface MemoryBegun extends Disposable {
  /** Does the rest, once: what was begun is over then. Throws UserError, SyscallError, what the watch throws. */
  finish(): PreparedMemory;
}

/** Reserves the memory, and has threads fill it where there are to be several. Throws SyscallError. */
export function beginMemory(system: System, preparing: Preparing): MemoryBegun {
  const { plan, together } = preparing;
  using stack = new DisposableStack();
  const begun = bound(system, plan, (): Begun => {
    const ranges = plan.ranges.map((range) => filed(system, range, preparing, stack));
    const pieces: FileRange[] = [];
    for (const { files } of ranges) for (const file of files) pieces.push(wholeFileRange(file));
    const mapping = stack.use(mapRanges(system, pieces));
    const filling = stack.use(together?.begin(ranges.map(({ files }) => files)));
    return { ranges, mapping, filling };
  });
  const owned = stack.move();
  return {
    finish() {
      using rest = owned.move();
      const ordered = finished(system, preparing, begun);
      const mapping = rest.use(ordered?.mapping) ?? begun.mapping;
      // Released together with the rest, off the critical path.
      const owner = rest.move();
      return {
        mapping,
        donations: placed(plan.ranges, mapping.start).map(({ address, length, pageBytes }) => ({
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

interface Memory {
  readonly mapping: Mapping;
  readonly ranges: readonly FiledRange[];
}

interface Begun extends Memory {
  readonly filling: Filling | undefined;
}

/** What was done, and whether memory was taken from one node only by that. */
type Bound<T> = T & { readonly bound: boolean };

/** Fills what is not filled yet, and looks at what it has become. */
function finished(system: System, preparing: Preparing, begun: Begun): Ordered | undefined {
  const { plan, pageMap, watch } = preparing;
  const memory = bound(system, plan, () => filled(begun, watch));
  if (plan.node !== undefined || pageMap !== undefined) populate(memory);
  checkNodes(system, plan, memory);
  return pageMap === undefined ? undefined : inOrder(system, memory, preparing, pageMap);
}

/** Ranges and where they are in a mapping that begins at `start`: one after another. */
function placed<R extends PageRange>(ranges: readonly R[], start: number): (R & Donation)[] {
  let address = start;
  return ranges.map((range) => {
    const length = range.pageBytes * range.pages;
    address += length;
    return { ...range, address: address - length, length };
  });
}

/** Runs `allocate` with this thread's memory bound to the plan's node, if that may be done; others inherit that. */
function bound<T extends object>(system: System, plan: MemoryPlan, allocate: () => T): Bound<T> {
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

/** Makes a range's files: one, or for several threads as many as they work well with. */
function filed(
  system: System,
  range: PageRange,
  { together }: Preparing,
  owner: DisposableStack,
): FiledRange {
  const { pageBytes, pages } = range;
  const perFile = Math.ceil(pages / (together?.filesFor(pages) ?? 1));
  const files: HugePageFile[] = [];
  for (let left = pages; left > 0; left -= perFile) {
    files.push(owner.use(HugePageFile.create(system, pageBytes, pageBytes * Math.min(perFile, left))));
  }
  return { ...range, files };
}

/** Allocates all files: with the threads that are at it, or each from its first page to its last. */
function filled(begun: Begun, watch: PreallocCallbacks): Begun {
  const { filling, ranges } = begun;
  if (filling !== undefined) filling.finish(watch);
  else for (const { files } of ranges) for (const file of files) allocateAll(file, watch);
  return begun;
}

function allocateAll(file: HugePageFile, { step }: PreallocCallbacks): void {
  const most = Math.max(CHECK_INTERVAL_BYTES, file.pageBytes);
  for (let at = 0; at < file.size; at += most) {
    const length = Math.min(most, file.size - at);
    file.allocate(at, length);
    step(length);
  }
}

/** Puts every page into the page table, where it is looked at. */
function populate({ mapping, ranges }: Memory): void {
  for (const { address, length, pageBytes, files } of placed(ranges, mapping.start)) {
    const [zeros] = files;
    if (zeros !== undefined) mapping.populate(address - mapping.start, length, pageBytes, zeros);
  }
}

/** Throws UserError where a page is on another node than the pool's, or may be. */
function checkNodes(
  system: System,
  plan: MemoryPlan,
  { mapping, ranges, bound: isBound }: Bound<Memory>,
): void {
  const { node } = plan;
  if (node === undefined) return;
  for (const { address, pages, pageBytes } of placed(ranges, mapping.start)) {
    const counts = pagesByNode(system, address, pageBytes, pages);
    if (counts === undefined && isBound) continue;
    const right = counts?.get(node) ?? 0;
    if (right === pages) continue;
    const where =
      counts === undefined
        ? "nothing tells on which NUMA node the huge pages are"
        : `${pages - right} of ${pages} huge pages of ${pageText(pageBytes)} are not on NUMA node ${node}`;
    throw new UserError(
      plan.typed,
      `${where}, where the CPU pool is; nothing was donated, for the driver loses each page that it refuses`,
      `allow nitro the calls set_mempolicy and move_pages (CAP_SYS_NICE in a container), or start it under ` +
        `numactl --membind=${node}`,
    );
  }
}

interface Ordered {
  readonly regions: number;
  /** The pages in physical order, where that makes fewer regions. */
  readonly mapping?: Mapping;
}

/** Maps the pages again in physical order, where that makes fewer regions and the mappings suffice. */
function inOrder(
  system: System,
  { mapping, ranges }: Memory,
  { mayMap }: Preparing,
  pageMap: PageMap,
): Ordered | undefined {
  let [asTheyAre, atBest] = [0, 0];
  // One after another, for there may be more pieces than a call has arguments.
  const pieces: FileRange[] = [];
  for (const range of placed(ranges, mapping.start)) {
    const { address, pageBytes, pages, files } = range;
    const addresses = pageMap.addresses(address, pageBytes, pages);
    const before = addresses === undefined ? 0 : regionsOf(addresses, pageBytes);
    const order = addresses === undefined ? undefined : ascendingOrder(addresses, pageBytes);
    if (order === undefined) return undefined;
    asTheyAre += before;
    atBest += order.regions;
    const asIs = order.regions === before;
    const own = asIs ? files.map(wholeFileRange) : piecesInOrder(files, pageBytes, order.places);
    for (const piece of own) pieces.push(piece);
  }
  // No call, yet what the calls around it are made for.
  system.trace.call?.("regions", `${pieces.length} pieces, ${asTheyAre} regions as they are`, atBest);
  const worthIt = asTheyAre - atBest > pieces.length / PIECES_PER_REGION || asTheyAre > SURELY_TAKEN;
  if (atBest === asTheyAre || !worthIt || !mayMap(pieces.length)) return { regions: asTheyAre };
  try {
    return { regions: atBest, mapping: mapRanges(system, pieces) };
  } catch (error) {
    // Too many mappings, whatever limits them: the pages do as they are, if the driver has regions enough.
    if (error instanceof SyscallError) return { regions: asTheyAre };
    throw error;
  }
}

function piecesInOrder(files: readonly HugePageFile[], pageBytes: number, places: Uint32Array): FileRange[] {
  const perFile = (files[0]?.size ?? 0) / pageBytes;
  const pieces: FileRange[] = [];
  for (const { first, pages } of runsOf(places, perFile)) {
    const file = files[Math.floor(first / perFile)];
    const offset = (first % perFile) * pageBytes;
    if (file !== undefined) pieces.push({ file, offset, length: pages * pageBytes });
  }
  return pieces;
}
