/** include/linux/dirent.h. Data only. */
import { struct, u8, u16, u64 } from "../struct.ts";

/** struct linux_dirent64 up to d_name, a string that ends with NUL. */
export const linuxDirent64 = struct("linux_dirent64", 19, {
  d_ino: u64,
  d_off: u64,
  d_reclen: u16,
  d_type: u8,
});
