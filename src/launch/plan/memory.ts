/** The memory of an enclave: its size, its huge pages, and the NUMA node they must be on. */

import { UserError } from "../../sys/errors.ts";
import { NE_MIN_ENCLAVE_MEM_SIZE } from "../../sys/linux/nitro_enclaves.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { MIB } from "../../sys/units.ts";
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

/** Consecutive pages of one size. */
export interface PageRange {
  readonly pageBytes: number;
  readonly pages: number;
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

/** Available pages by size; undefined if they cannot be counted. */
export interface PageSupply {
  readonly giant: number | undefined;
  readonly huge: number | undefined;
}

/** Formats a size as -m accepts it: whole MiB as `512M`, others in bytes. */
export function sizeText(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB}M` : `${bytes}B`;
}

/** Formats the size of a page. */
export function pageText(pageBytes: number): string {
  return pageBytes === HUGE_PAGE_BYTES ? "2 MiB" : "1 GiB";
}

/** Formats page ranges: `1 huge page of 1 GiB and 512 of 2 MiB`. */
export function rangesText(ranges: readonly PageRange[]): string {
  return ranges
    .map(({ pages, pageBytes }, i) => {
      const what = i > 0 ? "" : pages === 1 ? " huge page" : " huge pages";
      return `${pages}${what} of ${pageText(pageBytes)}`;
    })
    .join(" and ");
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
      `${requested.value} bytes are not a multiple of the huge page size (${pageText(pageBytes)})`,
      `use ${neighbours.map((bytes) => `${option}${sizeText(bytes)}`).join(" or ")}`,
      { options: backend === undefined ? ["-m", sizeText(neighbours.at(-1) ?? 0)] : undefined },
    );
  }
  return { bytes: requested.value, typed: requested.typed };
}

/**
 * Selects pages with the fewest regions: 1 GiB pages for each whole GiB, because a larger page is always donated
 * whole, and 2 MiB pages for the rest. Returns undefined if the supply does not suffice. @param pageBytes the only
 * permitted page size, if one was requested.
 */
export function planPages(
  bytes: number,
  supply: PageSupply,
  pageBytes?: number,
): readonly PageRange[] | undefined {
  const wholeGib = Math.floor(bytes / GIGANTIC_PAGE_BYTES);
  const giant =
    pageBytes === HUGE_PAGE_BYTES
      ? 0
      : pageBytes === GIGANTIC_PAGE_BYTES
        ? wholeGib
        : Math.min(wholeGib, supply.giant ?? 0);
  const huge = (bytes - giant * GIGANTIC_PAGE_BYTES) / HUGE_PAGE_BYTES;
  if (giant > (supply.giant ?? giant) || huge > (supply.huge ?? huge)) return undefined;
  return [
    { pageBytes: GIGANTIC_PAGE_BYTES, pages: giant },
    { pageBytes: HUGE_PAGE_BYTES, pages: huge },
  ].filter(({ pages }) => pages > 0);
}

/** Returns the largest size up to `bytes` that the supply allows. */
export function mostMemory(bytes: number, supply: PageSupply, pageBytes?: number): number {
  const wholeGib = Math.floor(bytes / GIGANTIC_PAGE_BYTES);
  const giant = pageBytes === HUGE_PAGE_BYTES ? 0 : Math.min(wholeGib, supply.giant ?? 0);
  const rest = bytes - giant * GIGANTIC_PAGE_BYTES;
  const huge = pageBytes === GIGANTIC_PAGE_BYTES ? 0 : (supply.huge ?? 0) * HUGE_PAGE_BYTES;
  return giant * GIGANTIC_PAGE_BYTES + Math.min(rest, huge);
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
