/** include/uapi/asm-generic/ioctls.h; the same on x86_64 and aarch64. Data only. */
export const TCGETS = 0x5401;
export const TCSETS = 0x5402;
export const TCSETSW = 0x5403;
export const TCSETSF = 0x5404;
export const TIOCGPGRP = 0x540f;
export const TIOCGWINSZ = 0x5413;
export const FIONREAD = 0x541b;
export const FIONBIO = 0x5421;
export const TIOCGPTN = 0x80045430;
export const TIOCSPTLCK = 0x40045431;
