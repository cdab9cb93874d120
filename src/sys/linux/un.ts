/** include/uapi/linux/un.h, linux/in.h, linux/in6.h. Data only. */
import { array, struct, u8, u16, u32 } from "../struct.ts";

export const UNIX_PATH_MAX = 108;

/** struct sockaddr_un */
export const sockaddrUn = struct("sockaddr_un", 110, { sun_family: u16, sun_path: array(u8, UNIX_PATH_MAX) });

/** struct sockaddr_in; port and address are in network order, so they are bytes here. */
export const sockaddrIn = struct("sockaddr_in", 16, {
  sin_family: u16,
  sin_port: array(u8, 2),
  sin_addr: array(u8, 4),
  sin_zero: array(u8, 8),
});

/** struct sockaddr_in6 */
export const sockaddrIn6 = struct("sockaddr_in6", 28, {
  sin6_family: u16,
  sin6_port: array(u8, 2),
  sin6_flowinfo: u32,
  sin6_addr: array(u8, 16),
  sin6_scope_id: u32,
});
