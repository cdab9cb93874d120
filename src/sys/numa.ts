/**
 * The NUMA nodes that memory comes from. The pages of an anonymous huge page file are allocated by fallocate(2), which
 * goes by the calling thread's policy (a mapping's own, as mbind(2) sets it, counts for page faults only, and there a
 * page that cannot be had is a SIGBUS in place of an error). So the thread's policy is set for that time.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { addressOf } from "./libc.ts";
import { MPOL, NR_GET_MEMPOLICY, NR_SET_MEMPOLICY } from "./linux/mempolicy.ts";
import { checked, type System } from "./system.ts";

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
