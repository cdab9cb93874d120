/** The kernel's numbers and layouts for x86_64, each with its header. */

/** System calls (arch/x86/entry/syscalls/syscall_64.tbl). */
export const NR = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  stat: 4,
  lstat: 6,
  poll: 7,
  lseek: 8,
  mmap: 9,
  munmap: 11,
  rt_sigprocmask: 14,
  ioctl: 16,
  pread64: 17,
  pwrite64: 18,
  writev: 20,
  access: 21,
  madvise: 28,
  dup: 32,
  sendfile: 40,
  socket: 41,
  connect: 42,
  accept: 43,
  bind: 49,
  listen: 50,
  getsockname: 51,
  getpeername: 52,
  setsockopt: 54,
  getsockopt: 55,
  execve: 59,
  kill: 62,
  uname: 63,
  fcntl: 72,
  ftruncate: 77,
  readlink: 89,
  chmod: 90,
  chown: 92,
  lchown: 94,
  setuid: 105,
  setgid: 106,
  setgroups: 116,
  fstatfs: 138,
  prctl: 157,
  getxattr: 191,
  lgetxattr: 192,
  listxattr: 194,
  llistxattr: 195,
  sched_setaffinity: 203,
  sched_getaffinity: 204,
  exit_group: 231,
  mbind: 237,
  set_mempolicy: 238,
  get_mempolicy: 239,
  waitid: 247,
  inotify_add_watch: 254,
  inotify_rm_watch: 255,
  openat: 257,
  fchownat: 260,
  newfstatat: 262,
  readlinkat: 267,
  fchmodat: 268,
  faccessat: 269,
  unshare: 272,
  move_pages: 279,
  fallocate: 285,
  accept4: 288,
  signalfd4: 289,
  pipe2: 293,
  inotify_init1: 294,
  process_vm_readv: 310,
  process_vm_writev: 311,
  seccomp: 317,
  memfd_create: 319,
  execveat: 322,
  copy_file_range: 326,
  pwritev2: 328,
  statx: 332,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  openat2: 437,
  pidfd_getfd: 438,
  faccessat2: 439,
  fchmodat2: 452,
} as const;

/** open(2) (asm-generic/fcntl.h). */
export const O = {
  RDWR: 2,
  ACCMODE: 3,
  CREAT: 0o100,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  CLOEXEC: 0o2000000,
  TMPFILE: 0o20200000,
} as const;

/** linux/fcntl.h. */
export const AT_FDCWD = -100;
/** linux/fcntl.h. */
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** linux/fcntl.h. */
export const AT_EMPTY_PATH = 0x1000;
/** asm-generic/fcntl.h: F_GETFL. */
export const F_GETFL = 3;
/** linux/fcntl.h: F_ADD_SEALS. */
export const F_ADD_SEALS = 1033;

/** linux/sched.h: a new network namespace. */
export const CLONE_NEWNET = 0x40000000;

/** netdevice(7) (linux/sockios.h, linux/if.h). */
export const INTERFACE = { SIOCGIFFLAGS: 0x8913, SIOCSIFFLAGS: 0x8914, IFF_UP: 1 } as const;

/** poll(2) (asm-generic/poll.h). */
export const POLL = { IN: 1, OUT: 4, ERR: 8, HUP: 16 } as const;

/** mmap(2) (asm-generic/mman-common.h, linux/mman.h). */
export const MAP = {
  SHARED: 1,
  PRIVATE: 2,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  HUGETLB: 0x40000,
} as const;
/** asm-generic/mman-common.h. */
export const PROT = { READ: 1, WRITE: 2 } as const;

/** madvise(2) (asm-generic/mman-common.h): allocates pages, or removes them from their file. */
export const MADV = { POPULATE_READ: 22, POPULATE_WRITE: 23 } as const;
/** fallocate(2) (linux/falloc.h). */
export const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2 } as const;

/** Memory policies (linux/mempolicy.h). */
export const MPOL = {
  DEFAULT: 0,
  PREFERRED: 1,
  BIND: 2,
  INTERLEAVE: 3,
  LOCAL: 4,
  PREFERRED_MANY: 5,
  WEIGHTED_INTERLEAVE: 6,
} as const;
/** Flags in addition to a mode (linux/mempolicy.h). */
export const MPOL_FLAGS = {
  NUMA_BALANCING: 1 << 13,
  RELATIVE_NODES: 1 << 14,
  STATIC_NODES: 1 << 15,
  ALL: 7 << 13,
} as const;
/** Flags of get_mempolicy(2) (linux/mempolicy.h). */
export const MPOL_F = { NODE: 1, ADDR: 2, MEMS_ALLOWED: 4 } as const;
/** Flags of mbind(2) and move_pages(2) for pages that exist (linux/mempolicy.h). */
export const MPOL_MF = { STRICT: 1, MOVE: 2, MOVE_ALL: 4 } as const;

/**
 * memfd_create(2) (linux/memfd.h); the page size's power of two is in the bits from 26 on
 * (asm-generic/hugetlb_encode.h).
 */
export const MFD = { CLOEXEC: 1, HUGETLB: 4, HUGE_SHIFT: 26, HUGE_MASK: 0x3f } as const;

/** Sockets (linux/socket.h, linux/net.h, asm-generic/socket.h). */
export const AF = { UNIX: 1, INET: 2, VSOCK: 40 } as const;
/** linux/net.h. */
export const SOCK = { STREAM: 1, DGRAM: 2, TYPE_MASK: 0xf, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
/** asm-generic/socket.h. */
export const SOL_SOCKET = 1;
/** asm-generic/socket.h. */
export const SO_ERROR = 4;

/** linux/vm_sockets.h: well-known CIDs; 0 is the hypervisor, 3 the parent instance as AWS numbers it. */
export const CID = { HYPERVISOR: 0, LOCAL: 1, HOST: 2, PARENT: 3, ANY: 0xffffffff } as const;
/** linux/vm_sockets.h: VMADDR_PORT_ANY. */
export const PORT_ANY = 0xffffffff;
/** linux/vm_sockets.h: sizeof(struct sockaddr_vm). */
export const SOCKADDR_VM_BYTES = 16;

/** linux/vm_sockets.h: IOCTL_VM_SOCKETS_GET_LOCAL_CID, which is _IO(7, 0xb9). */
export const GET_LOCAL_CID = 0x7b9;

/** statfs(2) types (linux/magic.h). */
export const MAGIC = { HUGETLBFS: 0x958458f6, TMPFS: 0x01021994 } as const;

/** fsopen(2) and related calls (linux/mount.h). */
export const FS = { CLOEXEC: 1, SET_STRING: 1, CREATE: 6 } as const;

/** prctl(2) (linux/prctl.h). */
export const PR = { SET_PDEATHSIG: 1, SET_CHILD_SUBREAPER: 36, SET_NO_NEW_PRIVS: 38 } as const;

/** seccomp(2) (linux/seccomp.h). */
export const SECCOMP = {
  SET_MODE_FILTER: 1,
  FLAG_NEW_LISTENER: 8,
  FLAG_WAIT_KILLABLE_RECV: 32,
  RET_ALLOW: 0x7fff0000,
  RET_USER_NOTIF: 0x7fc00000,
  NOTIF_FLAG_CONTINUE: 1,
  NOTIF_FD_SYNC_WAKE_UP: 1,
  ADDFD_FLAG_SETFD: 1,
  ADDFD_FLAG_SEND: 2,
} as const;

/** linux/audit.h: AUDIT_ARCH_X86_64. */
export const AUDIT_ARCH_X86_64 = 0xc000003e;

const IOC = { none: 0, write: 1, read: 2 } as const; // asm-generic/ioctl.h

/** asm-generic/ioctl.h: _IOC(direction, type, number, size). */
function ioc(direction: number, type: number, number: number, size: number): number {
  return ((direction << 30) | (size << 16) | (type << 8) | number) >>> 0;
}

const SECCOMP_IOC_MAGIC = 0x21; // linux/seccomp.h: '!'

/** The commands of a listener (linux/seccomp.h); the sizes are those of their structures. */
export const NOTIF = {
  RECV: ioc(IOC.read | IOC.write, SECCOMP_IOC_MAGIC, 0, 80),
  SEND: ioc(IOC.read | IOC.write, SECCOMP_IOC_MAGIC, 1, 24),
  ADDFD: ioc(IOC.write, SECCOMP_IOC_MAGIC, 3, 24),
  SET_FLAGS: ioc(IOC.write, SECCOMP_IOC_MAGIC, 4, 8),
} as const;

const NE_MAGIC = 0xae; // linux/nitro_enclaves.h

/** The driver's five requests (linux/nitro_enclaves.h). */
export const NE = {
  NE_CREATE_VM: ioc(IOC.read, NE_MAGIC, 0x20, 8),
  NE_ADD_VCPU: ioc(IOC.read | IOC.write, NE_MAGIC, 0x21, 4),
  NE_GET_IMAGE_LOAD_INFO: ioc(IOC.read | IOC.write, NE_MAGIC, 0x22, 16),
  NE_SET_USER_MEMORY_REGION: ioc(IOC.write, NE_MAGIC, 0x23, 24),
  NE_START_ENCLAVE: ioc(IOC.read | IOC.write, NE_MAGIC, 0x24, 16),
} as const;

/** 2 MiB: the driver's smallest unit of memory (linux/nitro_enclaves.h: NE_MIN_MEM_REGION_SIZE). */
export const HUGE_PAGE = 2 * 1024 * 1024;
/** An error code that user space should never see, but that seccomp may pass on (linux/errno.h). */
export const ERESTARTSYS = 512;
