/** include/uapi/linux/netlink.h. Data only. */
import { struct, u16, u32 } from "../struct.ts";

export const NETLINK_SOCK_DIAG = 4;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_DUMP = 0x300;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_ALIGNTO = 4;

/** struct nlmsghdr */
export const nlmsghdr = struct("nlmsghdr", 16, {
  nlmsg_len: u32,
  nlmsg_type: u16,
  nlmsg_flags: u16,
  nlmsg_seq: u32,
  nlmsg_pid: u32,
});

/** struct nlattr */
export const nlattr = struct("nlattr", 4, { nla_len: u16, nla_type: u16 });
