/** include/uapi/linux/mempolicy.h. Data only. */
export const MPOL = { default: 0, preferred: 1, bind: 2, interleave: 3 } as const;
