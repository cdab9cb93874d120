/** include/uapi/linux/filter.h. Data only. */
import { array, struct, u8, u16, u32, u64 } from "../struct.ts";

/** struct sock_filter: an instruction of classic BPF. */
export const sockFilter = struct("sock_filter", 8, { code: u16, jt: u8, jf: u8, k: u32 });

/** struct sock_fprog: the number of instructions and their address. */
export const sockFprog = struct("sock_fprog", 16, { len: u16, padding: array(u8, 6), filter: u64 });
