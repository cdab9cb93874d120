/** include/uapi/linux/sock_diag.h. Data only. */
export const SOCK_DIAG_BY_FAMILY = 20;
