/**
 * -sandbox on: from the start of the enclave on, no thread can make a system call but those that the loop, its sockets
 * and the runtime need. A call that serves only to take the machine over kills the process, and the enclave with it;
 * any other call that is not listed fails with EPERM, for a running enclave is worth more than a stray call of the
 * runtime's. No file can be opened and no program started. Other than in QEMU, it is a list of what is allowed.
 */
import { ERRNO } from "../../sys/linux/errno.ts";
import * as ioctls from "../../sys/linux/ioctls.ts";
import { NE_START_ENCLAVE } from "../../sys/linux/nitro_enclaves.ts";
import { PR_SET_NAME, PR_SET_VMA } from "../../sys/linux/prctl.ts";
import { CLONE_THREAD } from "../../sys/linux/sched.ts";
import { AF_INET, AF_INET6, AF_UNIX, AF_VSOCK } from "../../sys/linux/socket.ts";
import {
  applyFilter,
  type FilterAction,
  type FilterRule,
  filterProgram,
  type SyscallName,
} from "../../sys/seccomp.ts";
import type { System } from "../../sys/system.ts";

const REFUSED: FilterAction = { errno: ERRNO.EPERM };

/** What the loop does, the most frequent first; then what it does now and then; then what only the runtime does. */
const ALLOWED: readonly SyscallName[] = [
  ...([
    "read",
    "write",
    "poll",
    "ppoll",
    "recvfrom",
    "sendto",
    "futex",
    "madvise",
    "accept4",
    "close",
  ] as const),
  ...([
    "connect",
    "bind",
    "listen",
    "accept",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "getsockname",
  ] as const),
  ...([
    "getpeername",
    "sendmsg",
    "recvmsg",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "lseek",
    "fstat",
  ] as const),
  ...([
    "newfstatat",
    "statx",
    "ftruncate",
    "fsync",
    "flock",
    "fcntl",
    "dup",
    "dup2",
    "dup3",
    "unlink",
    "unlinkat",
    "memfd_create", // for a launcher that comes later to share the heartbeat's port
  ] as const),
  ...(["epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2"] as const),
  ...(["mmap", "munmap", "mprotect", "mremap", "brk", "mincore", "membarrier", "rt_sigaction"] as const),
  ...(["rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group"] as const),
  ...([
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "gettimeofday",
    "nanosleep",
    "sched_yield",
  ] as const),
  ...(["sched_getaffinity", "getcpu", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid"] as const),
  ...(["getegid", "getrandom", "getrusage", "sysinfo", "uname", "rseq", "set_robust_list"] as const),
];

const FATAL: readonly SyscallName[] = [
  ...(["execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"] as const),
  ...([
    "pidfd_getfd",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
  ] as const),
  ...([
    "setfsuid",
    "setfsgid",
    "capset",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
  ] as const),
  ...([
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "mount",
    "umount2",
    "pivot_root",
  ] as const),
  ...(["chroot", "setns", "unshare", "add_key", "request_key", "keyctl", "io_uring_setup"] as const),
  ...(["io_uring_enter", "io_uring_register", "open_by_handle_at"] as const),
];

/** Threads are named, and allocators name their memory. */
const NAMES_OF_THINGS = [PR_SET_NAME, PR_SET_VMA];

/** The rules. @param pid the only process that signals may be sent to. */
export function sandboxRules(pid: number): FilterRule[] {
  const oneOf = (argument: number, values: readonly number[], otherwise: FilterAction = REFUSED) => ({
    argument,
    is: { oneOf: values },
    otherwise,
  });
  const allowedIoctls = [
    NE_START_ENCLAVE.request,
    ioctls.TCGETS,
    ioctls.TCSETS,
    ioctls.TCSETSW,
    ioctls.TCSETSF,
    ioctls.TIOCGWINSZ,
    ioctls.TIOCGPGRP,
    ioctls.FIONREAD,
    ioctls.FIONBIO,
  ];
  return [
    { calls: ALLOWED, action: "allow" },
    { calls: ["ioctl"], action: "allow", when: oneOf(1, allowedIoctls) },
    { calls: ["socket"], action: "allow", when: oneOf(0, [AF_UNIX, AF_INET, AF_INET6, AF_VSOCK]) },
    { calls: ["tgkill"], action: "allow", when: oneOf(0, [pid]) },
    { calls: ["prctl"], action: "allow", when: oneOf(0, NAMES_OF_THINGS) },
    // Threads may be made, processes may not. clone3's flags are out of a filter's sight: libc then asks clone.
    { calls: ["clone3"], action: { errno: ERRNO.ENOSYS } },
    {
      calls: ["clone"],
      action: "allow",
      when: { argument: 0, is: { bit: CLONE_THREAD }, otherwise: "kill" },
    },
    { calls: FATAL, action: "kill" },
  ];
}

/** Closes the sandbox, for good. Throws UserError and SyscallError where the kernel will not. */
export function enterSandbox(system: System): void {
  applyFilter(system, filterProgram(sandboxRules(process.pid), REFUSED));
}
