/** include/uapi/linux/mempolicy.h, asm/unistd_64.h and asm-generic/unistd.h. Data only. */
export const MPOL = { default: 0, preferred: 1, bind: 2, interleave: 3 } as const;
export const NR_SET_MEMPOLICY = { x86_64: 238, aarch64: 237 } as const;
export const NR_MOVE_PAGES = { x86_64: 279, aarch64: 239 } as const;
export const NR_GET_MEMPOLICY = { x86_64: 239, aarch64: 236 } as const;
