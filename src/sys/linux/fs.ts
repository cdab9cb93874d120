/** include/uapi/linux/fs.h. Data only. */
export const SEEK_CUR = 1;
export const SEEK_END = 2;
