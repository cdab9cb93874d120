/** include/uapi/linux/seccomp.h. Data only. */
import { array, struct, u32, u64 } from "../struct.ts";

export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_TSYNC = 1;
export const SECCOMP_RET_KILL_PROCESS = 0x80000000;
export const SECCOMP_RET_ERRNO = 0x00050000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;

/** struct seccomp_data: what a filter reads of a system call. */
export const seccompData = struct("seccomp_data", 64, {
  nr: u32,
  arch: u32,
  instruction_pointer: u64,
  args: array(u64, 6),
});
