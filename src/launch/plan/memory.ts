/** The enclave's memory: how much it has, of which huge pages, and from which NUMA node they must come. */

import { UserError } from "../../sys/errors.ts";
import { NE_MIN_ENCLAVE_MEM_SIZE } from "../../sys/linux/nitro_enclaves.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../../sys/memory.ts";
import { MIB } from "../../sys/units.ts";
import type { MemoryBackend, Typed } from "../options.ts";

/** Without -m an enclave has this at least. */
const DEFAULT_MEMORY_BYTES = 128 * MIB;
/** The room that a kernel and its ramdisk take to unpack: AWS's CLI asks for as many times the image. */
const MEMORY_PER_IMAGE = 4;
/** Where every driver so far loads an EIF (ne_misc_dev.c, NE_IMAGE_LOAD_OFFSET); asked for later all the same. */
export const EXPECTED_IMAGE_OFFSET = 8 * MIB;

/** How much memory the enclave has: bytes, whole huge pages, and the words for it in messages. */
export interface MemorySize {
  readonly bytes: number;
  readonly typed: string;
}

/** Pages of one size that follow one another in the enclave's memory. */
export interface PageRange {
  readonly pageBytes: number;
  readonly pages: number;
}

/** The pages that the memory is made of. */
export interface MemoryPlan extends MemorySize {
  /** Those of larger pages first; each is one donation. */
  readonly ranges: readonly PageRange[];
  /** The node that all of them must be on: the pool's. Undefined where there is but one, or the pool's is not known. */
  readonly node: number | undefined;
}

/** Pages that a launch could have, by their size; undefined where that cannot be told. */
export interface PageSupply {
  readonly giant: number | undefined;
  readonly huge: number | undefined;
}

/** A size as -m takes it. Whole MiB are told as such, all else in bytes. */
export function sizeText(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB}M` : `${bytes}B`;
}

/** The size of a page in words. */
export function pageText(pageBytes: number): string {
  return pageBytes === HUGE_PAGE_BYTES ? "2 MiB" : "1 GiB";
}

/** Pages in words: `1 huge page of 1 GiB and 512 of 2 MiB`. */
export function rangesText(ranges: readonly PageRange[]): string {
  return ranges
    .map(({ pages, pageBytes }, i) => {
      const what = i > 0 ? "" : pages === 1 ? " huge page" : " huge pages";
      return `${pages}${what} of ${pageText(pageBytes)}`;
    })
    .join(" and ");
}

/** The least memory that holds an image at an offset, in bytes: whole huge pages, 64 MiB at least. */
export function leastMemory(imageOffset: number, imageBytes: number): number {
  return roundUp(Math.max(NE_MIN_ENCLAVE_MEM_SIZE, imageOffset + imageBytes), HUGE_PAGE_BYTES);
}

/**
 * Decides on the memory, by -m (or its backend's size) or by the image's size. Throws UserError for what is not whole
 * huge pages.
 */
export function planMemory(
  asked: Typed<number> | undefined,
  imageBytes: number,
  backend?: MemoryBackend,
): MemorySize {
  const pageBytes = backend?.pageBytes ?? HUGE_PAGE_BYTES;
  const roomy = Math.max(DEFAULT_MEMORY_BYTES, roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES));
  if (asked === undefined) return { bytes: roomy, typed: `-m ${sizeText(roomy)} (the default)` };
  const over = asked.value % pageBytes;
  if (over !== 0) {
    const below = asked.value - over;
    const neighbours = [below, below + pageBytes].filter((bytes) => bytes >= NE_MIN_ENCLAVE_MEM_SIZE);
    if (neighbours.length === 0) neighbours.push(NE_MIN_ENCLAVE_MEM_SIZE);
    const option = backend === undefined ? "-m " : "size=";
    throw new UserError(
      asked.typed,
      `${asked.value} bytes are not whole huge pages of ${pageText(pageBytes)}`,
      `use ${neighbours.map((bytes) => `${option}${sizeText(bytes)}`).join(" or ")}`,
      { options: backend === undefined ? ["-m", sizeText(neighbours.at(-1) ?? 0)] : undefined },
    );
  }
  return { bytes: asked.value, typed: asked.typed };
}

/**
 * The pages that make up so many bytes with the fewest regions: as many of 1 GiB as are wanted whole, for a larger page
 * is donated whole whatever was asked, and the rest of 2 MiB. Undefined where the supply does not do it.
 * @param pageBytes the only size that may be used, where one was asked for.
 */
export function planPages(
  bytes: number,
  supply: PageSupply,
  pageBytes?: number,
): readonly PageRange[] | undefined {
  const whole = Math.floor(bytes / GIGANTIC_PAGE_BYTES);
  const giant =
    pageBytes === HUGE_PAGE_BYTES
      ? 0
      : pageBytes === GIGANTIC_PAGE_BYTES
        ? whole
        : Math.min(whole, supply.giant ?? 0);
  const huge = (bytes - giant * GIGANTIC_PAGE_BYTES) / HUGE_PAGE_BYTES;
  if (giant > (supply.giant ?? giant) || huge > (supply.huge ?? huge)) return undefined;
  return [
    { pageBytes: GIGANTIC_PAGE_BYTES, pages: giant },
    { pageBytes: HUGE_PAGE_BYTES, pages: huge },
  ].filter(({ pages }) => pages > 0);
}

/** The most bytes, up to those asked for, that a supply can make up. */
export function mostMemory(bytes: number, supply: PageSupply, pageBytes?: number): number {
  const whole = Math.floor(bytes / GIGANTIC_PAGE_BYTES);
  const giant = pageBytes === HUGE_PAGE_BYTES ? 0 : Math.min(whole, supply.giant ?? 0);
  const rest = bytes - giant * GIGANTIC_PAGE_BYTES;
  const huge = pageBytes === GIGANTIC_PAGE_BYTES ? 0 : (supply.huge ?? 0) * HUGE_PAGE_BYTES;
  return giant * GIGANTIC_PAGE_BYTES + Math.min(rest, huge);
}

/** Throws UserError when the image does not fit, naming the least that would do. */
export function checkFits(memory: MemorySize, imageOffset: number, imageBytes: number): void {
  const least = leastMemory(imageOffset, imageBytes);
  if (memory.bytes >= least) return;
  const why =
    imageOffset + imageBytes > memory.bytes
      ? `the image has ${imageBytes} bytes and is loaded ${sizeText(imageOffset)} into the enclave's memory`
      : "an enclave has 64 MiB of memory at least";
  throw new UserError(
    memory.typed,
    why,
    `use -m ${sizeText(least)} or more (four times the image leaves room to unpack)`,
    { options: ["-m", sizeText(least)] },
  );
}

/** A warning for memory in which the image might not unpack, or undefined. */
export function tightMemory(memory: MemorySize, imageBytes: number): string | undefined {
  if (memory.bytes >= MEMORY_PER_IMAGE * imageBytes) return undefined;
  const roomy = roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES);
  return (
    `warning: ${memory.typed} is less than four times the image (${imageBytes} bytes); ` +
    `if the enclave dies while it unpacks its ramdisk, use -m ${sizeText(roomy)}`
  );
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
