/** include/uapi/linux/memfd.h. Data only. */
export const MFD_CLOEXEC = 0x0001;
export const MFD_HUGETLB = 0x0004;
/** From this bit on: the binary logarithm of the page size (asm-generic/hugetlb_encode.h). */
export const MFD_HUGE_SHIFT = 26;
