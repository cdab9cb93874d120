/** include/uapi/linux/in6.h. Data only. */
import { array, struct, u8, u16, u32 } from "../struct.ts";

/** include/uapi/linux/in.h. */
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

/** struct sockaddr_in6; port and address are byte arrays, because they are in network order. */
export const sockaddrIn6 = struct("sockaddr_in6", 28, {
  sin6_family: u16,
  sin6_port: array(u8, 2),
  sin6_flowinfo: u32,
  sin6_addr: array(u8, 16),
  sin6_scope_id: u32,
});
