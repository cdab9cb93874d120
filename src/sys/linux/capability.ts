/** include/uapi/linux/capability.h: bit numbers. Data only. */
export const CAP_SYS_ADMIN = 21;
export const CAP_SYS_RESOURCE = 24;
