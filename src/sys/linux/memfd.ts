/** include/uapi/linux/memfd.h. Data only. */
export const MFD_CLOEXEC = 0x0001;
export const MFD_HUGETLB = 0x0004;
/** asm-generic/hugetlb_encode.h: the binary logarithm of the page size, from bit 26 on. */
export const MFD_HUGE_2MB = 21 * 2 ** 26;
export const MFD_HUGE_1GB = 30 * 2 ** 26;
