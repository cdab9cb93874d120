/** What `-M nitro` is made of: how much memory and how many vCPUs an enclave gets, and what is refused. */
import { Failure } from "../sys/failure.ts";
import { NE_MIN_ENCLAVE_MEM_SIZE } from "../sys/linux/nitro_enclaves.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { MemoryBackend, Typed } from "./options.ts";

const MIB = 1024 * 1024;
/** Without -m an enclave has this at least. */
const DEFAULT_MEMORY_BYTES = 128 * MIB;
/** The room that a kernel and its ramdisk take to unpack: AWS's CLI asks for as many times the image. */
const MEMORY_PER_IMAGE = 4;
/** Where every driver so far loads an EIF (ne_misc_dev.c, NE_IMAGE_LOAD_OFFSET); asked for later all the same. */
export const EXPECTED_IMAGE_OFFSET = 8 * MIB;

/** The enclave's memory: bytes, whole huge pages, and the words for it in messages. */
export interface MemoryPlan {
  readonly bytes: number;
  readonly typed: string;
  /** Of each of its pages. */
  readonly pageBytes: number;
}

/** A size as -m takes it. Whole MiB are told as such, all else in bytes. */
export function sizeText(bytes: number): string {
  return bytes % MIB === 0 ? `${bytes / MIB}M` : `${bytes}B`;
}

/** The least memory that holds an image at an offset, in bytes: whole huge pages, 64 MiB at least. */
export function leastMemory(imageOffset: number, imageBytes: number): number {
  return roundUp(Math.max(NE_MIN_ENCLAVE_MEM_SIZE, imageOffset + imageBytes), HUGE_PAGE_BYTES);
}

/**
 * Decides on the memory, by -m (or its backend's size) or by the image's size. Throws Failure for what is not whole
 * huge pages.
 */
export function planMemory(
  asked: Typed<number> | undefined,
  imageBytes: number,
  backend?: MemoryBackend,
): MemoryPlan {
  const pageBytes = backend?.pageBytes ?? HUGE_PAGE_BYTES;
  const roomy = Math.max(DEFAULT_MEMORY_BYTES, roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES));
  if (asked === undefined) return { bytes: roomy, typed: `-m ${sizeText(roomy)} (the default)`, pageBytes };
  const over = asked.value % pageBytes;
  if (over !== 0) {
    const below = asked.value - over;
    const neighbours = [below, below + pageBytes].filter((bytes) => bytes >= NE_MIN_ENCLAVE_MEM_SIZE);
    if (neighbours.length === 0) neighbours.push(NE_MIN_ENCLAVE_MEM_SIZE);
    const option = backend === undefined ? "-m " : "size=";
    throw new Failure(
      asked.typed,
      `${asked.value} bytes are not whole huge pages of ${pageText(pageBytes)}`,
      `use ${neighbours.map((bytes) => `${option}${sizeText(bytes)}`).join(" or ")}`,
    );
  }
  return { bytes: asked.value, typed: asked.typed, pageBytes };
}

/** The size of a page in words. */
export function pageText(pageBytes: number): string {
  return pageBytes === HUGE_PAGE_BYTES ? "2 MiB" : "1 GiB";
}

/** Throws Failure when the image does not fit, naming the least that would do. */
export function checkFits(memory: MemoryPlan, imageOffset: number, imageBytes: number): void {
  const least = leastMemory(imageOffset, imageBytes);
  if (memory.bytes >= least) return;
  const why =
    imageOffset + imageBytes > memory.bytes
      ? `the image has ${imageBytes} bytes and is loaded ${sizeText(imageOffset)} into the enclave's memory`
      : "an enclave has 64 MiB of memory at least";
  throw new Failure(
    memory.typed,
    why,
    `use -m ${sizeText(least)} or more (four times the image leaves room to unpack)`,
  );
}

/** A warning for memory in which the image might not unpack, or undefined. */
export function tightMemory(memory: MemoryPlan, imageBytes: number): string | undefined {
  if (memory.bytes >= MEMORY_PER_IMAGE * imageBytes) return undefined;
  const roomy = roundUp(MEMORY_PER_IMAGE * imageBytes, HUGE_PAGE_BYTES);
  return (
    `warning: ${memory.typed} is less than four times the image (${imageBytes} bytes); ` +
    `if the enclave dies while it unpacks its ramdisk, use -m ${sizeText(roomy)}`
  );
}

/** Decides on the vCPUs, by -smp or one full core. Throws Failure for part of a core. */
export function planVcpus(asked: Typed<number> | undefined, threadsPerCore: number): Typed<number> {
  if (asked === undefined) return { value: threadsPerCore, typed: `-smp ${threadsPerCore} (the default)` };
  const over = asked.value % threadsPerCore;
  if (over !== 0) {
    const below = asked.value - over;
    const above = below + threadsPerCore;
    throw new Failure(
      asked.typed,
      `an enclave takes whole cores, which have ${threadsPerCore} threads on this machine`,
      `use ${below === 0 ? "" : `-smp ${below} or `}-smp ${above}`,
    );
  }
  return asked;
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}
