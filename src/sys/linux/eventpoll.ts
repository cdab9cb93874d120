/** include/uapi/linux/eventpoll.h; the same on x86_64 and aarch64. Data only. */
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLLIN = 0x001;
export const EPOLLET = 0x80000000;
/** struct epoll_event: 12 bytes on x86_64, where it is packed, 16 on aarch64; u32 events is at 0 on both. */
export const EPOLL_EVENT_SIZE = 16;
