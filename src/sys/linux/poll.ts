/** include/uapi/asm-generic/poll.h. Data only. */
export const POLLIN = 0x001;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
/** struct pollfd: int fd, short events, short revents. */
export const POLLFD_SIZE = 8;
