/**
 * The enclave's memory, from a plan to pages that the driver will take: allocated on the right node, zeroed, looked at,
 * and mapped in the order of their physical addresses where those are told. Nothing that the driver would refuse gets
 * further than here, for it loses a page with each that it does.
 */
import { Failure, SyscallError } from "../sys/failure.ts";
import { type FilePiece, HugePageFile, type Mapping, mapPieces, wholeFile } from "../sys/memory.ts";
import { mayNotCall, pagesByNode, underPolicy } from "../sys/numa.ts";
import type { System } from "../sys/system.ts";
import { type MemoryPlan, type PageRange, pageText } from "./memory.ts";

/** A signal is looked for after so many bytes; one larger page is a piece as well. */
const PIECE_BYTES = 64 * 1024 * 1024;

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
}

/** Prepares the memory. @param between called between pieces of it; may throw to stop. Throws Failure, SyscallError. */
export function prepareMemory(system: System, plan: MemoryPlan, between: () => void): PreparedMemory {
  using stack = new DisposableStack();
  const memory = bound(system, plan, () => allocated(system, plan.ranges, between));
  const mapping = stack.use(memory.mapping);
  checkNodes(system, plan, memory);
  stack.move();
  return {
    mapping,
    donations: donationsOf(plan.ranges, mapping.start),
    [Symbol.dispose]: () => mapping.unmap(),
  };
}

interface Allocated {
  readonly mapping: Mapping;
  /** Whether its pages were taken from one node only. */
  readonly bound: boolean;
}

function donationsOf(ranges: readonly PageRange[], start: number): Donation[] {
  let address = start;
  return ranges.map(({ pageBytes, pages }) => {
    const length = pageBytes * pages;
    address += length;
    return { address: address - length, length, pageBytes };
  });
}

/** Runs `allocate` with this thread's memory bound to the plan's node, if that may be done. */
function bound(system: System, plan: MemoryPlan, allocate: () => Mapping): Allocated {
  const { node } = plan;
  if (node === undefined) return { mapping: allocate(), bound: false };
  try {
    return { mapping: underPolicy(system, "bind", [node], allocate), bound: true };
  } catch (error) {
    const ofPolicy = error instanceof SyscallError && /_mempolicy$/.test(error.call);
    if (!ofPolicy || !mayNotCall(error)) throw error;
    return { mapping: allocate(), bound: false };
  }
}

function allocated(system: System, ranges: readonly PageRange[], between: () => void): Mapping {
  using files = new DisposableStack();
  using stack = new DisposableStack();
  const pieces: FilePiece[] = ranges.map(({ pageBytes, pages }) =>
    wholeFile(files.use(HugePageFile.create(system, pageBytes, pageBytes * pages))),
  );
  const mapping = stack.use(mapPieces(system, pieces));
  for (const { file } of pieces) fill(file, between);
  stack.move();
  return mapping;
}

/** Allocates a file from its first page to its last. */
function fill(file: HugePageFile, between: () => void): void {
  const most = Math.max(PIECE_BYTES, file.pageBytes);
  for (let at = 0; at < file.size; at += most) {
    file.allocate(at, Math.min(most, file.size - at));
    between();
  }
}

/** Throws Failure where a page is on another node than the pool's, or may be. */
function checkNodes(system: System, plan: MemoryPlan, { mapping, bound: isBound }: Allocated): void {
  const { node } = plan;
  if (node === undefined) return;
  for (const { address, length, pageBytes } of donationsOf(plan.ranges, mapping.start)) {
    mapping.touch(address - mapping.start, length, pageBytes);
    const pages = length / pageBytes;
    const counts = pagesByNode(system, address, pageBytes, pages);
    if (counts === undefined && isBound) continue;
    const right = counts?.get(node) ?? 0;
    if (right === pages) continue;
    const where =
      counts === undefined
        ? "nothing tells on which NUMA node the huge pages are"
        : `${pages - right} of ${pages} huge pages of ${pageText(pageBytes)} are not on NUMA node ${node}`;
    throw new Failure(
      plan.typed,
      `${where}, where the CPU pool is; nothing was donated, for the driver loses each page that it refuses`,
      `allow nitro the calls set_mempolicy and move_pages (CAP_SYS_NICE in a container), or start it under ` +
        `numactl --membind=${node}`,
    );
  }
}
