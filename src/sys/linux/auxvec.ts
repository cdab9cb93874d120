/** include/uapi/linux/auxvec.h. Data only. */
export const AT_PAGESZ = 6n;
