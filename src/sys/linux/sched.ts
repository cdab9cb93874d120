/** include/uapi/linux/sched.h. Data only. */
export const CLONE_THREAD = 0x00010000;
