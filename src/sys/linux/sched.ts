/** include/linux/sched.h by asm/unistd_64.h and asm-generic/unistd.h. Data only. */
export const NR_SCHED_GETAFFINITY = { x86_64: 204, aarch64: 123 } as const;
