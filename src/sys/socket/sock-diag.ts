/** Dumps of the kernel's socket lists (sock_diag(7)), one family at a time. */
import { Fd, readSome } from "../files.ts";
import { addressOf } from "../libc.ts";
import * as netlink from "../linux/netlink.ts";
import { SOCK_DIAG_BY_FAMILY } from "../linux/sock_diag.ts";
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from "../linux/socket.ts";
import { resultOrErrno, type System } from "../system.ts";
import { sendSome } from "./vsock.ts";

const { nlmsghdr } = netlink;
const REPLY_BYTES = 32 * 1024;

/**
 * Calls `each` with the body of every message of a dump until it returns true. Returns whether the dump is complete, or
 * `each` has returned true; false if the kernel does not support it. @param request the family's request structure.
 */
export function dumpSockets(
  system: System,
  request: Uint8Array,
  each: (body: Uint8Array) => boolean,
): boolean {
  const number = system.libc.socket(
    AF_NETLINK,
    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
    netlink.NETLINK_SOCK_DIAG,
  );
  const args = () => "AF_NETLINK, SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC, NETLINK_SOCK_DIAG";
  if (resultOrErrno(system, "socket", number, args) < 0) return false;
  using socket = new Fd(system, number);
  const header = nlmsghdr.encode({
    nlmsg_len: nlmsghdr.size + request.length,
    nlmsg_type: SOCK_DIAG_BY_FAMILY,
    nlmsg_flags: netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP,
    nlmsg_seq: 1,
    nlmsg_pid: 0,
  });
  const message = Uint8Array.from([...header, ...request]);
  if (sendSome(system, socket.number, addressOf(message), message.length) !== message.length) return false;
  const reply = new Uint8Array(REPLY_BYTES);
  for (;;) {
    const got = readSome(system, socket.number, reply);
    if (got <= 0) return false;
    const end = readReply(reply.subarray(0, got), each);
    if (end !== undefined) return end;
  }
}

/** Returns undefined if the dump goes on. */
function readReply(reply: Uint8Array, each: (body: Uint8Array) => boolean): boolean | undefined {
  for (let at = 0; at + nlmsghdr.size <= reply.length; ) {
    const { nlmsg_len, nlmsg_type } = nlmsghdr.decode(reply, at);
    if (nlmsg_type === netlink.NLMSG_DONE) return true;
    if (nlmsg_type === netlink.NLMSG_ERROR || nlmsg_len < nlmsghdr.size) return false;
    if (nlmsg_type === SOCK_DIAG_BY_FAMILY) {
      if (each(reply.subarray(at + nlmsghdr.size, at + nlmsg_len))) return true;
    }
    at += align(nlmsg_len);
  }
  return undefined;
}

/** Returns the attributes of a message by their types. @param offset where they begin. */
export function attributesOf(body: Uint8Array, offset: number): ReadonlyMap<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = offset; at + netlink.nlattr.size <= body.length; ) {
    const { nla_len, nla_type } = netlink.nlattr.decode(body, at);
    if (nla_len < netlink.nlattr.size) break;
    found.set(nla_type, body.subarray(at + netlink.nlattr.size, at + nla_len));
    at += align(nla_len);
  }
  return found;
}

function align(length: number): number {
  return Math.ceil(length / netlink.NLMSG_ALIGNTO) * netlink.NLMSG_ALIGNTO;
}
