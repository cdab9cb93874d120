/** The kernel's list of vsock sockets (sock_diag(7), net/vmw_vsock/diag.c), which /proc does not have. */
import { Fd, readSome } from "../files.ts";
import { addressOf } from "../libc.ts";
import {
  NETLINK_SOCK_DIAG,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_ALIGNTO,
  NLMSG_DONE,
  NLMSG_ERROR,
  nlmsghdr,
} from "../linux/netlink.ts";
import { SOCK_DIAG_BY_FAMILY } from "../linux/sock_diag.ts";
import { AF_NETLINK, AF_VSOCK, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "../linux/socket.ts";
import { TCP_LISTEN } from "../linux/tcp_states.ts";
import { vsockDiagMsg, vsockDiagReq } from "../linux/vm_sockets_diag.ts";
import { resultOrErrno, type System } from "../system.ts";
import { sendSome } from "./vsock.ts";

const REPLY_BYTES = 32 * 1024;

/** Returns the inode of the socket that listens on a vsock port; undefined if the kernel does not report it. */
export function vsockListenerInode(system: System, port: number): number | undefined {
  const number = system.libc.socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  const args = () => "AF_NETLINK, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, NETLINK_SOCK_DIAG";
  if (resultOrErrno(system, "socket", number, args) < 0) return undefined;
  using socket = new Fd(system, number);
  const request = dumpRequest();
  if (sendSome(system, socket.number, addressOf(request), request.length) !== request.length)
    return undefined;
  const reply = new Uint8Array(REPLY_BYTES);
  for (;;) {
    const got = readSome(system, socket.number, reply);
    if (got <= 0) return undefined;
    for (let at = 0; at + nlmsghdr.size <= got; ) {
      const { nlmsg_len, nlmsg_type } = nlmsghdr.decode(reply, at);
      if (nlmsg_type === NLMSG_DONE || nlmsg_type === NLMSG_ERROR || nlmsg_len < nlmsghdr.size)
        return undefined;
      if (nlmsg_type === SOCK_DIAG_BY_FAMILY && nlmsg_len >= nlmsghdr.size + vsockDiagMsg.size) {
        const { vdiag_src_port, vdiag_ino } = vsockDiagMsg.decode(reply, at + nlmsghdr.size);
        if (vdiag_src_port === port) return vdiag_ino;
      }
      at += Math.ceil(nlmsg_len / NLMSG_ALIGNTO) * NLMSG_ALIGNTO;
    }
  }
}

/** A request for all listening vsock sockets. */
function dumpRequest(): Uint8Array {
  const header = nlmsghdr.encode({
    nlmsg_len: nlmsghdr.size + vsockDiagReq.size,
    nlmsg_type: SOCK_DIAG_BY_FAMILY,
    nlmsg_flags: NLM_F_REQUEST | NLM_F_DUMP,
    nlmsg_seq: 1,
    nlmsg_pid: 0,
  });
  const body = vsockDiagReq.encode({
    sdiag_family: AF_VSOCK,
    sdiag_protocol: 0,
    pad: 0,
    vdiag_states: 1 << TCP_LISTEN,
    vdiag_ino: 0,
    vdiag_show: 0,
    vdiag_cookie: [0, 0],
  });
  return Uint8Array.from([...header, ...body]);
}
