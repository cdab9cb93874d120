/** include/linux/socket.h, linux/net.h, uapi/asm-generic/socket.h; the same on x86_64 and aarch64. Data only. */
import { struct, u32, u64 } from "../struct.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_VSOCK = 40;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
/** The largest backlog of listen(2); net.core.somaxconn may limit it further. 128 before Linux 5.4. */
export const SOMAXCONN = 4096;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_PASSCRED = 16;
export const SO_PEERCRED = 17;
export const SCM_RIGHTS = 1;
export const SCM_CREDENTIALS = 2;
export const MSG_CTRUNC = 0x08;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

/** struct ucred */
export const ucred = struct("ucred", 12, { pid: u32, uid: u32, gid: u32 });

/** struct user_msghdr */
export const msghdr = struct("msghdr", 56, {
  msg_name: u64,
  msg_namelen: u32,
  padding: u32,
  msg_iov: u64,
  msg_iovlen: u64,
  msg_control: u64,
  msg_controllen: u64,
  msg_flags: u32,
  padding_end: u32,
});

/** struct cmsghdr; its data follows, each message padded to eight bytes. */
export const cmsghdr = struct("cmsghdr", 16, { cmsg_len: u64, cmsg_level: u32, cmsg_type: u32 });
