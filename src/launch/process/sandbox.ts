/**
 * The filter of -sandbox on. After the start of the enclave, threads can only make the system calls of the run loop,
 * its sockets and the runtime. Calls that serve to take over a machine kill the process and with it the enclave;
 * other calls fail with EPERM, so that an unexpected call of the runtime does not stop the enclave. No file can be
 * opened and no program started. Unlike QEMU's, this is a list of allowed calls.
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

/** The calls of the run loop, most frequent first; then rarer ones; then those of the runtime. */
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
    "memfd_create", // For a later launch that shares the heartbeat port.
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

/** The runtime names its threads; allocators name their memory. */
const ALLOWED_PRCTLS = [PR_SET_NAME, PR_SET_VMA];

/** Returns the rules. @param pid the only process that may be signalled. */
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
    { calls: ["prctl"], action: "allow", when: oneOf(0, ALLOWED_PRCTLS) },
    // Threads may be created, processes not. A filter cannot see the flags of clone3, so libc falls back to clone.
    { calls: ["clone3"], action: { errno: ERRNO.ENOSYS } },
    {
      calls: ["clone"],
      action: "allow",
      when: { argument: 0, is: { bit: CLONE_THREAD }, otherwise: "kill" },
    },
    { calls: FATAL, action: "kill" },
  ];
}

/** Installs the filter irrevocably in all threads. Throws UserError and SyscallError. */
export function enterSandbox(system: System): void {
  applyFilter(system, filterProgram(sandboxRules(process.pid), REFUSED));
}
