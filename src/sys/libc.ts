/**
 * The only access to the kernel: libc, opened once with bun:ffi.
 *
 * Wrappers of libc are called by name. memfd_create is called through syscall(2), because glibc has a wrapper only
 * since 2.27 and Amazon Linux 2 has 2.26.
 *
 * A pointer argument is a typed array, which bun:ffi keeps until the call returns, or 0 for NULL. An address argument
 * is a number, as mmap(2) returned it.
 */

import { dlopen, FFIType, ptr, read, toArrayBuffer } from "bun:ffi";
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { SYSCALLS } from "./linux/unistd.ts";

const { cstring, i32, u32, i64_fast: i64, u64_fast: u64, ptr: pointer } = FFIType;
/** Addresses of mappings are below 2^53 and are passed as numbers. */
const address = u64;

/** The functions with their C prototypes; the source of each is its man page. */
const SYMBOLS = {
  // int open(const char *path, int flags, mode_t mode)
  open: { args: [cstring, i32, u32], returns: i32 },
  // int close(int fd)
  close: { args: [i32], returns: i32 },
  // ssize_t read(int fd, void *buf, size_t count)
  read: { args: [i32, pointer, u64], returns: i64 },
  // ssize_t pread(int fd, void *buf, size_t count, off_t offset), into a mapping
  pread: { args: [i32, address, u64, i64], returns: i64 },
  // ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
  preadv: { args: [i32, pointer, i32, i64], returns: i64 },
  // ssize_t write(int fd, const void *buf, size_t count), from an address so that a buffer's middle can be written
  write: { args: [i32, address, u64], returns: i64 },
  // ssize_t send(int fd, const void *buf, size_t len, int flags)
  send: { args: [i32, address, u64, i32], returns: i64 },
  // off_t lseek(int fd, off_t offset, int whence)
  lseek: { args: [i32, i64, i32], returns: i64 },
  // int ftruncate(int fd, off_t length)
  ftruncate: { args: [i32, i64], returns: i32 },
  // int unlink(const char *path)
  unlink: { args: [cstring], returns: i32 },
  // int symlink(const char *target, const char *linkpath)
  symlink: { args: [cstring, cstring], returns: i32 },
  // int flock(int fd, int operation)
  flock: { args: [i32, i32], returns: i32 },
  // ssize_t readlink(const char *path, char *buf, size_t size)
  readlink: { args: [cstring, pointer, u64], returns: i64 },
  // int ioctl(int fd, unsigned long request, void *argument)
  ioctl: { args: [i32, u64, pointer], returns: i32 },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
  mmap: { args: [address, u64, i32, i32, i32, i64], returns: i64 },
  // int munmap(void *addr, size_t length)
  munmap: { args: [address, u64], returns: i32 },
  // int fallocate(int fd, int mode, off_t offset, off_t len)
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout)
  poll: { args: [pointer, u64, i32], returns: i32 },
  // int mprotect(void *addr, size_t length, int prot)
  mprotect: { args: [address, u64, i32], returns: i32 },
  // int sigaction(int signum, const struct sigaction *act, struct sigaction *oldact)
  sigaction: { args: [i32, pointer, pointer], returns: i32 },
  // int pipe2(int pipefd[2], int flags)
  pipe2: { args: [pointer, i32], returns: i32 },
  // int socket(int domain, int type, int protocol)
  socket: { args: [i32, i32, i32], returns: i32 },
  // int bind(int fd, const struct sockaddr *addr, socklen_t len)
  bind: { args: [i32, pointer, u32], returns: i32 },
  // int listen(int fd, int backlog)
  listen: { args: [i32, i32], returns: i32 },
  // int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
  accept4: { args: [i32, pointer, pointer, i32], returns: i32 },
  // int connect(int fd, const struct sockaddr *addr, socklen_t len)
  connect: { args: [i32, pointer, u32], returns: i32 },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  // int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  // mode_t umask(mode_t mask), which cannot fail
  umask: { args: [u32], returns: u32 },
  // long syscall(long number, ...): up to five arguments of 64 bits each
  syscall: { args: [i64, u64, u64, u64, u64, u64], returns: i64 },
  // int *__errno_location(void)
  __errno_location: { args: [], returns: pointer },
} as const;

const FCNTL = {
  // int fcntl(int fd, int command, ...): an integer
  fcntl: { args: [i32, i32, u64], returns: i32 },
} as const;

/** Functions for rarer options (-daemonize, -run-with, -sandbox), opened on first use. */
const PROCESS_SYMBOLS = {
  // int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
  //   const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]), which returns the error
  posix_spawn: { args: [pointer, cstring, pointer, pointer, pointer, pointer], returns: i32 },
  // pid_t waitpid(pid_t pid, int *status, int options)
  waitpid: { args: [i32, pointer, i32], returns: i32 },
  // int kill(pid_t pid, int signal)
  kill: { args: [i32, i32], returns: i32 },
  ...FCNTL,
  // int dup2(int from, int to)
  dup2: { args: [i32, i32], returns: i32 },
  // int openat(int dirfd, const char *path, int flags, ...)
  openat: { args: [i32, cstring, i32, u32], returns: i32 },
  // int unlinkat(int dirfd, const char *path, int flags)
  unlinkat: { args: [i32, cstring, i32], returns: i32 },
  // pid_t setsid(void)
  setsid: { args: [], returns: i32 },
  // int fchdir(int fd)
  fchdir: { args: [i32], returns: i32 },
  // int chdir(const char *path)
  chdir: { args: [cstring], returns: i32 },
  // int chroot(const char *path)
  chroot: { args: [cstring], returns: i32 },
  // int setgroups(size_t size, const gid_t *list), for all threads
  setgroups: { args: [u64, pointer], returns: i32 },
  // int setresgid(gid_t real, gid_t effective, gid_t saved), for all threads
  setresgid: { args: [u32, u32, u32], returns: i32 },
  // int setresuid(uid_t real, uid_t effective, uid_t saved), for all threads
  setresuid: { args: [u32, u32, u32], returns: i32 },
  // pid_t getppid(void)
  getppid: { args: [], returns: i32 },
  // int prctl(int option, unsigned long …)
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
} as const;

/** Functions for large memories and NUMA, opened on first use. */
const MEMORY_SYMBOLS = {
  // long syscall(long number, ...): six arguments of 64 bits each
  syscall: { args: [i64, u64, u64, u64, u64, u64, u64], returns: i64 },
  // int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument),
  // which returns the error; the code's and the argument's addresses
  pthread_create: { args: [pointer, pointer, address, address], returns: i32 },
  // int pthread_join(pthread_t thread, void **result), which returns the error
  pthread_join: { args: [u64, pointer], returns: i32 },
} as const;

/** Functions for launches that share the heartbeat port, opened on first use. */
const SHARING_SYMBOLS = {
  // ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
  sendmsg: { args: [i32, pointer, i32], returns: i64 },
  // ssize_t recvmsg(int fd, struct msghdr *message, int flags)
  recvmsg: { args: [i32, pointer, i32], returns: i64 },
  ...FCNTL,
  // int eventfd(unsigned int initial, int flags)
  eventfd: { args: [u32, i32], returns: i32 },
  // int epoll_create1(int flags)
  epoll_create1: { args: [i32], returns: i32 },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
  epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
  epoll_wait: { args: [i32, pointer, i32, i32], returns: i32 },
} as const;

/** Opens libc. Throws if it is not glibc, which the runtime needs as well. */
export function openLibc() {
  const symbols = dlopen("libc.so.6", SYMBOLS).symbols;
  const errnoAddress = symbols.__errno_location();
  if (errnoAddress === null) throw new Error("libc has no errno");
  let processes: ReturnType<typeof openProcessCalls> | undefined;
  let memory: ReturnType<typeof openMemoryCalls> | undefined;
  let sharing: ReturnType<typeof openSharingCalls> | undefined;
  return {
    ...symbols,
    /** memfd_create(2). */
    memfd_create: (name: Uint8Array, flags: number): number =>
      Number(symbols.syscall(SYSCALLS.memfd_create[KERNEL_ARCHITECTURE], ptr(name), flags, 0, 0, 0)),
    /** The functions of PROCESS_SYMBOLS. */
    get processCalls() {
      processes ??= openProcessCalls();
      return processes;
    },
    /** The functions of MEMORY_SYMBOLS. */
    get memoryCalls() {
      memory ??= openMemoryCalls();
      return memory;
    },
    /** The functions of SHARING_SYMBOLS. */
    get sharingCalls() {
      sharing ??= openSharingCalls();
      return sharing;
    },
    /** Returns errno of this thread. Call it in the function whose call has just failed. */
    errno: (): number => read.i32(errnoAddress, 0),
  };
}

function openProcessCalls() {
  return dlopen("libc.so.6", PROCESS_SYMBOLS).symbols;
}

/** Opens libpthread: glibc before 2.34 has these functions there; later its name resolves to libc. */
function openMemoryCalls() {
  return dlopen("libpthread.so.0", MEMORY_SYMBOLS).symbols;
}

function openSharingCalls() {
  return dlopen("libc.so.6", SHARING_SYMBOLS).symbols;
}

/** The opened libc. */
export type Libc = ReturnType<typeof openLibc>;

/** Returns a NUL-terminated copy of a string for a `const char *` argument; keep it until the call returns. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** Returns the address of a typed array, valid while the array is referenced. */
export function addressOf(bytes: Uint8Array): number {
  return ptr(bytes);
}

/**
 * Returns a view of mapped memory, without a copy; it is valid as long as the mapping. @param start address of the
 * first byte. @param size in bytes.
 */
export function viewOf(start: number, size: number): Uint8Array {
  if (size === 0) return new Uint8Array(0); // bun:ffi refuses an empty view.
  return new Uint8Array(toArrayBuffer(start as Parameters<typeof toArrayBuffer>[0], 0, size));
}
