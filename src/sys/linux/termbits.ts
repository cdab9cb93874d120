/** include/uapi/asm-generic/termbits.h; the same on x86_64 and aarch64. Data only. */
import { array, struct, u8, u32 } from "../struct.ts";

/** c_iflag */
export const IGNBRK = 0o1;
export const BRKINT = 0o2;
export const PARMRK = 0o10;
export const ISTRIP = 0o40;
export const INLCR = 0o100;
export const IGNCR = 0o200;
export const ICRNL = 0o400;
export const IXON = 0o2000;
/** c_oflag */
export const OPOST = 0o1;
/** c_cflag */
export const CSIZE = 0o60;
export const CS8 = 0o60;
export const PARENB = 0o400;
/** c_lflag */
export const ISIG = 0o1;
export const ICANON = 0o2;
export const ECHO = 0o10;
export const ECHONL = 0o100;
export const IEXTEN = 0o100000;
/** Indexes in c_cc. */
export const VTIME = 5;
export const VMIN = 6;

/** struct termios of TCGETS and TCSETS. */
export const termios = struct("termios", 36, {
  c_iflag: u32,
  c_oflag: u32,
  c_cflag: u32,
  c_lflag: u32,
  c_line: u8,
  c_cc: array(u8, 19),
});
