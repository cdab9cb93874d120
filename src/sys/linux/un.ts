/** include/uapi/linux/un.h. Data only. */
import { array, struct, u8, u16 } from "../struct.ts";

export const UNIX_PATH_MAX = 108;

/** struct sockaddr_un */
export const sockaddrUn = struct("sockaddr_un", 110, { sun_family: u16, sun_path: array(u8, UNIX_PATH_MAX) });
