/** include/uapi/linux/seccomp.h, linux/filter.h, linux/bpf_common.h, linux/audit.h, linux/sched.h. Data only. */
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_TSYNC = 1;
export const SECCOMP_RET_KILL_PROCESS = 0x80000000;
export const SECCOMP_RET_ERRNO = 0x00050000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
export const AUDIT_ARCH = { x86_64: 0xc000003e, aarch64: 0xc00000b7 } as const;
/** x86's x32 calls have this bit (asm/unistd.h). */
export const X32_SYSCALL_BIT = 0x40000000;
/** struct seccomp_data. */
export const SECCOMP_DATA = { nr: 0, arch: 4, args: 16 } as const;
/** BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_JMP|BPF_JSET|BPF_K, BPF_RET|BPF_K. */
export const BPF = { load: 0x20, jumpEqual: 0x15, jumpAtLeast: 0x35, jumpSet: 0x45, return: 0x06 } as const;
export const SOCK_FILTER_SIZE = 8;
export const SOCK_FPROG_SIZE = 16;
export const CLONE_THREAD = 0x00010000;
