/** include/uapi/linux/time.h. Data only. */

export const CLOCK_MONOTONIC = 1;
