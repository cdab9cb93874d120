/** NE_SET_USER_MEMORY_REGION: the checks before memory is taken, page by page, and the taking of memory. */

import type { HugePages } from "../huge-pages.ts";
import type { Page } from "../memory/page-pool.ts";
import type { Scenario } from "../scenario.ts";
import { E, NE_ERR } from "../sys/errno.ts";
import { closeFd, fileSystemOf, identityOf, lengthOf, Mapping, openFile } from "../sys/files.ts";
import { HUGE_PAGE, MAGIC, O } from "../sys/kernel.ts";
import { type MappedRange, mappedRanges, readMemory } from "../sys/processes.ts";
import type { Slot } from "./slot.ts";

/** struct ne_user_memory_region (linux/nitro_enclaves.h). */
export interface MemoryRegion {
  flags: bigint;
  bytes: bigint;
  address: bigint;
}

/** A refused donation: the errno, and whether the driver's bug leaks a page. */
export interface Refusal {
  errno: number;
  leaksPage: boolean;
  /** The leaked page, if it is known. */
  page?: Page;
}

const SMALL_PAGE = 4096;
const userSpaceEnd = 2n ** 47n; // TASK_SIZE_MAX with four page table levels (asm/page_64_types.h), without the last page

function refuse(errno: number): Refusal {
  const leaky: number[] = [
    NE_ERR.MEM_NOT_HUGE_PAGE,
    NE_ERR.MEM_DIFFERENT_NUMA_NODE,
    NE_ERR.INVALID_PAGE_SIZE,
  ];
  return { errno, leaksPage: leaky.includes(errno) };
}

/** Checks size and address in the driver's order; the state and the caller have been checked. */
export function checkPlace(slot: Slot, region: MemoryRegion, alignmentMatters: boolean): Refusal | undefined {
  const { address, bytes } = region;
  const page = BigInt(HUGE_PAGE);
  if (bytes % page !== 0n) return refuse(NE_ERR.INVALID_MEM_REGION_SIZE);
  if (address % page !== 0n && alignmentMatters) return refuse(NE_ERR.UNALIGNED_MEM_REGION_ADDR);
  if (address >= userSpaceEnd || bytes > userSpaceEnd - address)
    return refuse(NE_ERR.INVALID_MEM_REGION_ADDR);
  for (const range of slot.ranges) {
    const start = BigInt(range.address);
    const end = start + BigInt(range.length);
    if (address < end && (address + bytes > start || address === start))
      return refuse(NE_ERR.MEM_REGION_ALREADY_USED);
  }
  return bytes === 0n ? refuse(E.ENOMEM) : undefined;
}

interface Run {
  range: MappedRange;
  from: number;
  to: number;
  offset: number;
  pageBytes: number;
  /** The pages, if they are known. */
  pages: readonly Page[] | undefined;
}

/** The process whose memory is taken, and the node that the enclave needs. */
export interface Donor {
  pid: number;
  tid: number;
  node: number | undefined;
}

/** Returns the page size of a mapped range, 0 for ordinary memory; undefined if the process has exited. */
function pageSizeOf(range: MappedRange, hugePages: HugePages): number | undefined {
  const emulated = hugePages.pageSize(identityOf(range.link) ?? "");
  if (emulated !== undefined) return emulated;
  const fd = openFile(range.link, 0);
  if (fd < 0) return range.name.startsWith("/") ? undefined : 0; // a named range has its link as long as it is mapped
  const { type, blockBytes } = fileSystemOf(fd);
  closeFd(fd);
  return type === MAGIC.HUGETLBFS ? blockBytes : 0;
}

/** Walks over the pages as the driver does; returns what is to be mapped, or the first page's refusal. */
function walk(
  donor: Donor,
  from: number,
  to: number,
  scenario: Scenario,
  hugePages: HugePages,
): Run[] | Refusal {
  const runs: Run[] = [];
  const ranges = mappedRanges(donor.pid, from, to);
  let next = 0;
  const foreign =
    scenario.foreignNodePage === null
      ? Number.POSITIVE_INFINITY
      : from + scenario.foreignNodePage * HUGE_PAGE;
  for (let at = from; at < to; ) {
    while ((ranges[next]?.end ?? Number.POSITIVE_INFINITY) <= at) next += 1;
    const range = ranges[next];
    if (range === undefined || range.start > at) return refuse(E.EFAULT);
    const pageBytes = pageSizeOf(range, hugePages);
    if (pageBytes === undefined) return refuse(E.EFAULT);
    if (pageBytes === 0) return refuse(NE_ERR.MEM_NOT_HUGE_PAGE);
    const offset = at - range.start + range.offset;
    if (pageBytes < HUGE_PAGE || offset % pageBytes !== 0) return refuse(NE_ERR.INVALID_PAGE_SIZE);
    const wanted = Math.min(range.end, to) - at;
    const length = Math.ceil(wanted / pageBytes) * pageBytes; // larger pages are donated whole
    if (foreign < at + length) return refuse(NE_ERR.MEM_DIFFERENT_NUMA_NODE);
    const pages = hugePages.pagesBehind(donor, range, at, length);
    if (pages === null) return refuse(E.EFAULT);
    const misplaced = pages?.find(({ node }) => node !== donor.node);
    if (misplaced !== undefined) return { ...refuse(NE_ERR.MEM_DIFFERENT_NUMA_NODE), page: misplaced };
    runs.push({ range, from: at, to: at + length, offset, pageBytes, pages });
    at += length;
  }
  return runs;
}

/** Returns the memory behind a run; undefined if a page of it is missing. */
function mapRun(pid: number, run: Run): Mapping | undefined {
  const length = run.to - run.from;
  if (!run.range.shared) {
    // A private mapping's pages are in no file: they are copied, and later writes to them are not seen.
    const copy = Mapping.ofNothing(length);
    for (let done = 0; done < length; done += HUGE_PAGE) {
      readMemory(pid, run.from + done, copy.view.subarray(done, done + HUGE_PAGE));
    }
    return copy;
  }
  const fd = openFile(run.range.link, O.RDWR);
  if (-fd === E.ENOENT || -fd === E.ESRCH) return undefined; // its process has been killed meanwhile
  if (fd < 0)
    throw new Error(`${run.range.link} cannot be opened (errno ${-fd}); run the emulated parent as root`);
  try {
    return lengthOf(fd) < run.offset + length ? undefined : Mapping.ofFile(fd, run.offset, length);
  } catch {
    return undefined;
  } finally {
    closeFd(fd);
  }
}

/** Returns the number of regions of one donation: one for each ascending run of pages. */
function regionCount(runs: readonly Run[], scenario: Scenario): number {
  const bytes = runs.reduce((sum, run) => sum + run.to - run.from, 0);
  if (scenario.regionBytes !== 0) return Math.ceil(bytes / scenario.regionBytes);
  let count = 0;
  let expected: number | undefined;
  for (const { pages, pageBytes } of runs) {
    for (const { frame } of pages ?? []) {
      if (frame !== expected) count += 1;
      expected = frame + pageBytes / SMALL_PAGE;
    }
  }
  return Math.max(1, count);
}

/** Takes a range of a process's memory; returns the mappings, or the refusal. After a refusal nothing is kept. */
export function takeMemory(
  slot: Slot,
  donor: Donor,
  region: MemoryRegion,
  scenario: Scenario,
  hugePages: HugePages,
): Mapping[] | Refusal {
  const from = Number(region.address);
  const runs = walk(donor, from, from + Number(region.bytes), scenario, hugePages);
  if (!Array.isArray(runs)) return runs;
  const regions = regionCount(runs, scenario);
  if (slot.regions + regions > scenario.maxRegions) return refuse(NE_ERR.MEM_MAX_REGIONS);
  const mappings: Mapping[] = [];
  for (const run of runs) {
    const mapping = mapRun(donor.pid, run);
    if (mapping === undefined) {
      for (const taken of mappings) taken.release();
      return refuse(E.EFAULT);
    }
    mappings.push(mapping);
  }
  slot.regions += regions;
  return mappings;
}
