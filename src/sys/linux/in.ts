/** include/uapi/linux/in.h. Data only. */
import { array, struct, u8, u16 } from "../struct.ts";

export const IPPROTO_TCP = 6;

/** struct sockaddr_in; port and address are byte arrays, because they are in network order. */
export const sockaddrIn = struct("sockaddr_in", 16, {
  sin_family: u16,
  sin_port: array(u8, 2),
  sin_addr: array(u8, 4),
  sin_zero: array(u8, 8),
});
