/** include/uapi/asm-generic/signal.h, glibc's bits/sigaction.h; the same on x86_64 and aarch64. Data only. */
import { array, struct, u32, u64 } from "../struct.ts";

export const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGPIPE: 13,
  SIGTERM: 15,
  SIGCONT: 18,
  SIGXFSZ: 25,
} as const;
export const SIG_IGN = 1;
export const SA_RESTART = 0x10000000;

/** struct sigaction as glibc has it, with its sigset_t of 1024 bits. */
export const sigaction = struct("sigaction", 152, {
  sa_handler: u64,
  sa_mask: array(u64, 16),
  sa_flags: u32,
  padding: u32,
  sa_restorer: u64,
});
