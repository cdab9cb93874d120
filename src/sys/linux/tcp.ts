/** include/uapi/linux/tcp.h. Data only. */
export const TCP_NODELAY = 1;
