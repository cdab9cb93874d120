/**
 * The NUMA nodes that memory comes from. The pages of an anonymous huge page file are allocated by fallocate(2), which
 * goes by the calling thread's policy (a mapping's own, as mbind(2) sets it, counts for page faults only, and there a
 * page that cannot be had is a SIGBUS in place of an error). So the thread's policy is set for that time.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { SyscallError } from "./errors.ts";
import { readText } from "./files.ts";
import { addressOf } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import { MPOL, NR_GET_MEMPOLICY, NR_MOVE_PAGES, NR_SET_MEMPOLICY } from "./linux/mempolicy.ts";
import { checked, type System } from "./system.ts";
import { hex } from "./trace.ts";

/** QEMU's names for the kernel's policies. */
export type NumaPolicy = keyof typeof MPOL;

/** Bits in a node mask: what a kernel can have at the most (CONFIG_NODES_SHIFT 10). */
const MASK_BITS = 1024;

/** A mask with these nodes' bits set. */
export function nodeMask(nodes: readonly number[]): Uint8Array {
  const mask = new Uint8Array(MASK_BITS / 8);
  for (const node of nodes) mask[node >> 3] = (mask[node >> 3] ?? 0) | (1 << (node & 7));
  return mask;
}

/** Runs `allocate` under a policy and puts the former one back. Throws SyscallError: EINVAL for a node there is not. */
export function underPolicy<T>(
  system: System,
  policy: NumaPolicy,
  nodes: readonly number[],
  allocate: () => T,
): T {
  const former = { mode: new Uint8Array(4), mask: nodeMask([]) };
  const { libc } = system;
  const [modeAddress, maskAddress] = [addressOf(former.mode), addressOf(former.mask)];
  const asked = Number(
    libc.syscall(NR_GET_MEMPOLICY[KERNEL_ARCHITECTURE], modeAddress, maskAddress, MASK_BITS, 0, 0),
  );
  checked(system, "get_mempolicy", asked, () => `…, ${MASK_BITS}, NULL, 0`, "");
  setPolicy(system, MPOL[policy], nodeMask(nodes), `${policy}, nodes ${nodes.join(", ")}`);
  try {
    return allocate();
  } finally {
    const mode = new DataView(former.mode.buffer).getInt32(0, true);
    setPolicy(system, mode, former.mask, "as it was before");
  }
}

function setPolicy(system: System, mode: number, mask: Uint8Array, words: string): void {
  // The kernel reads one bit less than it is told, and refuses a mask beside MPOL_DEFAULT that is not empty.
  const result = Number(
    system.libc.syscall(NR_SET_MEMPOLICY[KERNEL_ARCHITECTURE], mode, addressOf(mask), MASK_BITS + 1, 0, 0),
  );
  checked(system, "set_mempolicy", result, () => words, words);
}

/** Pages by their node. */
export type PagesByNode = ReadonlyMap<number, number>;

/**
 * How many pages of a mapping are on which node. The pages must be in the page table. Where move_pages(2) may not be
 * called (a container's seccomp filter), by /proc/self/numa_maps; undefined where that does not tell either.
 * @param start address of the first page, @param pageBytes of each, @param pages how many. Throws SyscallError.
 */
export function pagesByNode(
  system: System,
  start: number,
  pageBytes: number,
  pages: number,
): PagesByNode | undefined {
  try {
    const counts = new Map<number, number>();
    for (const node of nodesOfPages(system, start, pageBytes, pages)) {
      if (node < 0) throw new SyscallError("move_pages", -node, hex(start));
      counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    return counts;
  } catch (error) {
    if (!(error instanceof SyscallError && mayNotCall(error))) throw error;
  }
  const maps = readWhole(system, "/proc/self/numa_maps");
  const counts = maps === undefined ? undefined : countNumaMaps(maps, start, start + pageBytes * pages);
  const all = [...(counts?.values() ?? [])].reduce((sum, count) => sum + count, 0);
  return all === pages ? counts : undefined;
}

/** Whether a call failed because this process may not make it, or the kernel has none of it. */
export function mayNotCall({ errno }: SyscallError): boolean {
  return errno === ERRNO.EPERM || errno === ERRNO.ENOSYS;
}

function readWhole(system: System, path: string): string | undefined {
  try {
    return readText(system, path);
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}

/** Pages by node of the mappings that begin in a range of addresses, by numa_maps (numa(7)): `N0=32 N1=4`. */
export function countNumaMaps(text: string, start: number, end: number): PagesByNode {
  const counts = new Map<number, number>();
  for (const line of text.split("\n")) {
    const address = Number.parseInt(line, 16);
    if (!(address >= start && address < end)) continue;
    for (const [, node, count] of line.matchAll(/ N(\d+)=(\d+)/g)) {
      counts.set(Number(node), (counts.get(Number(node)) ?? 0) + Number(count));
    }
  }
  return counts;
}

/** So many pages are asked for in one call. */
const MOST_AT_ONCE = 4096;

/**
 * The node of each page of a mapping, by move_pages(2) without a list of nodes, which moves nothing; a negative errno
 * for a page that is not there. Throws SyscallError: EPERM and ENOSYS where the call may not be made.
 * @param start address of the first page, @param pageBytes of each, @param pages how many.
 */
function nodesOfPages(system: System, start: number, pageBytes: number, pages: number): Int32Array {
  const status = new Int32Array(pages);
  const bytes = new Uint8Array(status.buffer);
  const { syscall } = system.libc.memoryCalls;
  for (let first = 0; first < pages; first += MOST_AT_ONCE) {
    const count = Math.min(MOST_AT_ONCE, pages - first);
    const addresses = BigUint64Array.from({ length: count }, (_, i) =>
      BigInt(start + (first + i) * pageBytes),
    );
    const list = addressOf(new Uint8Array(addresses.buffer));
    const into = addressOf(bytes) + 4 * first;
    const asked = Number(syscall(NR_MOVE_PAGES[KERNEL_ARCHITECTURE], 0, count, list, 0, into, 0));
    checked(
      system,
      "move_pages",
      asked,
      () => `0, ${count}, [${hex(addresses[0] ?? 0n)}, …], NULL, …, 0`,
      "",
    );
  }
  return status;
}
