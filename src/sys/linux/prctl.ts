/** include/uapi/linux/prctl.h. Data only. */
export const PR_SET_PDEATHSIG = 1;
export const PR_SET_NAME = 15;
export const PR_SET_NO_NEW_PRIVS = 38;
/** PR_SET_VMA_ANON_NAME is its only suboption. */
export const PR_SET_VMA = 0x53564d41;
