/** include/linux/dirent.h: offsets in struct linux_dirent64. Data only. */
export const DIRENT64 = { recordLength: 16, name: 19 } as const;
