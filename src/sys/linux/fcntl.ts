/** include/uapi/asm-generic/fcntl.h and linux/fcntl.h; the same on x86_64 and aarch64 where not noted. Data only. */
export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_ACCMODE = 0o3;
export const O_CREAT = 0o100;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
/** These differ: arch/arm64/include/uapi/asm/fcntl.h. */
export const O_DIRECTORY = { x86_64: 0o200000, aarch64: 0o40000 } as const;
export const O_NOFOLLOW = { x86_64: 0o400000, aarch64: 0o100000 } as const;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
/** F_LINUX_SPECIFIC_BASE + 6. */
export const F_DUPFD_CLOEXEC = 1030;
export const FD_CLOEXEC = 1;
/** F_LINUX_SPECIFIC_BASE + 8; pipes only. */
export const F_GETPIPE_SZ = 1032;
/** -100 as an unsigned int. */
export const AT_FDCWD = 2 ** 32 - 100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;
