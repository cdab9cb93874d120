/** include/linux/dirent.h: offsets in struct linux_dirent64; asm/unistd_64.h and asm-generic/unistd.h. Data only. */
export const DIRENT64 = { recordLength: 16, name: 19 } as const;
export const NR_GETDENTS64 = { x86_64: 217, aarch64: 61 } as const;
