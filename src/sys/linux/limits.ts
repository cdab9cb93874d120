/** include/uapi/linux/limits.h. Data only. */
/** A pipe that polls writable accepts this many bytes without blocking: pipe(7). */
export const PIPE_BUF = 4096;
