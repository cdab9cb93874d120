/**
 * NUMA nodes of memory. fallocate(2) on a file of huge pages allocates by the policy of the calling thread; the
 * policy of a mapping (mbind(2)) counts for page faults only, where a missing page is a SIGBUS. So the thread's
 * policy is set during the allocation.
 */

import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { SyscallError } from "./errors.ts";
import { readText } from "./files.ts";
import { addressOf } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import { MPOL_BIND, MPOL_DEFAULT, MPOL_INTERLEAVE, MPOL_PREFERRED } from "./linux/mempolicy.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { checked, type System } from "./system.ts";
import { hex } from "./trace.ts";

/** The kernel's policies by QEMU's names. */
const MODES = {
  default: MPOL_DEFAULT,
  preferred: MPOL_PREFERRED,
  bind: MPOL_BIND,
  interleave: MPOL_INTERLEAVE,
} as const;

/** QEMU's name of a policy. */
export type NumaPolicy = keyof typeof MODES;

/** Bits of a node mask, the kernel's maximum (CONFIG_NODES_SHIFT 10). */
const MASK_BITS = 1024;

/** Returns a mask with the bits of these nodes. */
function nodeMask(nodes: readonly number[]): Uint8Array {
  const mask = new Uint8Array(MASK_BITS / 8);
  for (const node of nodes) mask[node >> 3] = (mask[node >> 3] ?? 0) | (1 << (node & 7));
  return mask;
}

/**
 * Runs `allocate` under a policy and restores the previous one. Throws SyscallError: EINVAL for a node that does not
 * exist.
 */
export function withNumaPolicy<T>(
  system: System,
  policy: NumaPolicy,
  nodes: readonly number[],
  allocate: () => T,
): T {
  const former = { mode: new Uint8Array(4), mask: nodeMask([]) };
  const { libc } = system;
  const [modeAddress, maskAddress] = [addressOf(former.mode), addressOf(former.mask)];
  const returned = Number(
    libc.syscall(SYSCALLS.get_mempolicy[KERNEL_ARCHITECTURE], modeAddress, maskAddress, MASK_BITS, 0, 0),
  );
  checked(system, "get_mempolicy", returned, { args: () => `…, ${MASK_BITS}, NULL, 0` });
  setPolicy(system, MODES[policy], nodeMask(nodes), `${policy}, nodes ${nodes.join(", ")}`);
  try {
    return allocate();
  } finally {
    const mode = new DataView(former.mode.buffer).getInt32(0, true);
    setPolicy(system, mode, former.mask, "the previous policy");
  }
}

function setPolicy(system: System, mode: number, mask: Uint8Array, description: string): void {
  // The kernel reads one bit less than maxnode, and MPOL_DEFAULT requires an empty mask.
  const result = Number(
    system.libc.syscall(
      SYSCALLS.set_mempolicy[KERNEL_ARCHITECTURE],
      mode,
      addressOf(mask),
      MASK_BITS + 1,
      0,
      0,
    ),
  );
  checked(system, "set_mempolicy", result, { args: () => description, subject: description });
}

/** Number of pages by node. */
export type PagesByNode = ReadonlyMap<number, number>;

/**
 * Counts the pages of a mapping by node. The pages must be in the page table. Falls back to /proc/self/numa_maps
 * where move_pages(2) is not permitted (seccomp filter of a container); undefined if neither works. @param start
 * address of the first page. @param pageBytes size of a page. @param pages number of pages. Throws SyscallError.
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
    if (!(error instanceof SyscallError && isNotPermitted(error))) throw error;
  }
  const maps = readWhole(system, "/proc/self/numa_maps");
  const counts = maps === undefined ? undefined : countNumaMaps(maps, start, start + pageBytes * pages);
  const all = [...(counts?.values() ?? [])].reduce((sum, count) => sum + count, 0);
  return all === pages ? counts : undefined;
}

/** Whether a call failed because it is not permitted or not implemented. */
export function isNotPermitted({ errno }: SyscallError): boolean {
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

/** Counts pages by node for the mappings in a range of addresses, from numa_maps (numa(7)): `N0=32 N1=4`. */
function countNumaMaps(text: string, start: number, end: number): PagesByNode {
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

/** Pages per call. */
const MOST_AT_ONCE = 4096;

/**
 * Returns the node of each page, by move_pages(2) without target nodes, which moves nothing; a negative errno for a
 * missing page. @param start address of the first page. @param pageBytes size of a page. @param pages number of
 * pages. Throws SyscallError: EPERM or ENOSYS where the call is not permitted.
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
    const returned = Number(syscall(SYSCALLS.move_pages[KERNEL_ARCHITECTURE], 0, count, list, 0, into, 0));
    checked(system, "move_pages", returned, {
      args: () => `0, ${count}, [${hex(addresses[0] ?? 0n)}, …], NULL, …, 0`,
    });
  }
  return status;
}
