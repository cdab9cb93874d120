/** The memory of an enclave: its size, its huge pages, and the NUMA node they must be on. */

import type { PageRange } from "../../host/memory/huge-pages.ts";
import { UserError } from "../../sys/errors.ts";
import { NE_MIN_ENCLAVE_MEM_SIZE } from "../../sys/linux/nitro_enclaves.ts";
import { HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { MIB, sizeWithUnit } from "../../sys/units.ts";
import type { MemoryBackend, Typed } from "../options.ts";

/** Minimum of the default size. */
const DEFAULT_MEMORY_BYTES = 128 * MIB;
/** A kernel needs space to unpack its ramdisk: AWS's CLI asks for four times the image. */
const MEMORY_PER_IMAGE = 4;
/** Where all drivers so far load an EIF (ne_misc_dev.c, NE_IMAGE_LOAD_OFFSET). The launch asks the driver later. */
export const EXPECTED_IMAGE_OFFSET = 8 * MIB;

/** The size of the memory in bytes, and the option as it was typed. */
export interface MemorySize {
  readonly bytes: number;
  readonly typed: string;
}

/** The pages of the memory. */
export interface MemoryPlan extends MemorySize {
  /** Larger pages first; each range is one donation. */
  readonly ranges: readonly PageRange[];
  /**
   * The node of the CPU pool, on which all pages must be; undefined on a machine with one node, or if it is unknown.
   */
  readonly node: number | undefined;
}

/** The available pages of one size; Infinity if they cannot be counted. */
export type PageSupply = PageRange;

/** Formats a size as -m accepts it: whole MiB as `512M`, others in bytes. */
export function sizeText(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB}M` : `${bytes}B`;
}

/** Returns the minimum memory for an image at an offset, in bytes: whole huge pages, at least 64 MiB. */
export function leastMemory(imageOffset: number, imageBytes: number): number {
  return roundUp(Math.max(NE_MIN_ENCLAVE_MEM_SIZE, imageOffset + imageBytes), HUGE_PAGE_BYTES);
}

/**
 * Decides the size by -m (or the size of its backend) or by the image. Throws UserError for a fraction of a huge
 * page.
 */
export function planMemory(
  requested: Typed<number> | undefined,
  imageBytes: number,
  backend?: MemoryBackend,
): MemorySize {
  const pageBytes = backend?.pageBytes ?? HUGE_PAGE_BYTES;
  const comfortable = Math.max(DEFAULT_MEMORY_BYTES, roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES));
  if (requested === undefined)
    return { bytes: comfortable, typed: `-m ${sizeText(comfortable)} (the default)` };
  const over = requested.value % pageBytes;
  if (over !== 0) {
    const below = requested.value - over;
    const neighbours = [below, below + pageBytes].filter((bytes) => bytes >= NE_MIN_ENCLAVE_MEM_SIZE);
    if (neighbours.length === 0) neighbours.push(NE_MIN_ENCLAVE_MEM_SIZE);
    const option = backend === undefined ? "-m " : "size=";
    throw new UserError(
      requested.typed,
      `${requested.value} bytes are not a multiple of the huge page size (${sizeWithUnit(pageBytes)})`,
      `use ${neighbours.map((bytes) => `${option}${sizeText(bytes)}`).join(" or ")}`,
      { options: backend === undefined ? ["-m", sizeText(neighbours.at(-1) ?? 0)] : undefined },
    );
  }
  return { bytes: requested.value, typed: requested.typed };
}

/**
 * Selects pages of exactly the size, with the fewest regions: each page size as often as it fits and is available, the
 * largest first. Each size is a multiple of the next, so that finds the pages if there are any. Returns undefined if
 * there are none. @param supply largest pages first.
 */
export function planPages(bytes: number, supply: readonly PageSupply[]): readonly PageRange[] | undefined {
  const { ranges, rest } = takePages(bytes, supply);
  return rest === 0 ? ranges : undefined;
}

/**
 * Takes pages of each size as often as they fit and are available. `rest` is what they do not cover.
 * @param supply largest pages first.
 */
export function takePages(
  bytes: number,
  supply: readonly PageSupply[],
): { readonly ranges: readonly PageRange[]; readonly rest: number } {
  const ranges: PageRange[] = [];
  let rest = bytes;
  for (const { pageBytes, pages: available } of supply) {
    const pages = Math.min(Math.floor(rest / pageBytes), available);
    if (pages > 0) ranges.push({ pageBytes, pages });
    rest -= pages * pageBytes;
  }
  return { ranges, rest };
}

/** Throws UserError with the minimum size if the image does not fit. */
export function checkFits(memory: MemorySize, imageOffset: number, imageBytes: number): void {
  const least = leastMemory(imageOffset, imageBytes);
  if (memory.bytes >= least) return;
  const why =
    imageOffset + imageBytes > memory.bytes
      ? `the image has ${imageBytes} bytes and is loaded at offset ${sizeText(imageOffset)}`
      : "an enclave needs at least 64 MiB of memory";
  throw new UserError(
    memory.typed,
    why,
    `use -m ${sizeText(least)} or more (four times the image leaves space to unpack)`,
    { options: ["-m", sizeText(least)] },
  );
}

/** Returns a warning if the image may not have enough space to unpack, else undefined. */
export function tightMemory(memory: MemorySize, imageBytes: number): string | undefined {
  if (memory.bytes >= MEMORY_PER_IMAGE * imageBytes) return undefined;
  const comfortable = roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES);
  return (
    `warning: ${memory.typed} is less than four times the image (${imageBytes} bytes); ` +
    `if the kernel fails to unpack its ramdisk, use -m ${sizeText(comfortable)}`
  );
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
