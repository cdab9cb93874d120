/** Ancillary messages between processes over UNIX sockets (unix(7)): file descriptors and credentials. */
import { Fd } from "../files.ts";
import { addressOf } from "../libc.ts";
import * as net from "../linux/socket.ts";
import { iovec } from "../linux/uio.ts";
import { resultOrErrno, type System } from "../system.ts";

const FD_BYTES = 4;

/** Size of the control message for descriptors: CMSG_SPACE (cmsg(3)). */
function controlSpace(count: number): number {
  return net.cmsghdr.size + Math.ceil((count * FD_BYTES) / 8) * 8;
}

interface Message {
  readonly header: Uint8Array;
  /** The iovec of the body. */
  readonly vector: Uint8Array;
  /** Buffers that the header points to; they must stay referenced as long as the header is used. */
  readonly held: readonly Uint8Array[];
}

/** Builds a message of `body` with the buffer `control`. */
function message(body: Uint8Array, control: Uint8Array): Message {
  const vector = iovec.encode({ iov_base: BigInt(addressOf(body)), iov_len: BigInt(body.length) });
  const header = net.msghdr.encode({
    msg_name: 0n,
    msg_namelen: 0,
    padding: 0,
    msg_iov: BigInt(addressOf(vector)),
    msg_iovlen: 1n,
    msg_control: BigInt(addressOf(control)),
    msg_controllen: BigInt(control.length),
    msg_flags: 0,
    padding_end: 0,
  });
  return { header, vector, held: [vector, body, control] };
}

/** sendmsg(2), non-blocking: sends `body`, at least one byte, with descriptors. Returns 0 or the negative errno. */
export function sendDescriptors(system: System, socket: Fd, body: Uint8Array, fds: readonly Fd[]): number {
  const control = new Uint8Array(controlSpace(fds.length));
  const length = net.cmsghdr.size + fds.length * FD_BYTES;
  const head = { cmsg_len: BigInt(length), cmsg_level: net.SOL_SOCKET, cmsg_type: net.SCM_RIGHTS };
  control.set(net.cmsghdr.encode(head));
  const view = new DataView(control.buffer);
  fds.forEach(({ number }, i) => {
    view.setInt32(net.cmsghdr.size + i * FD_BYTES, number, true);
  });
  const { header, held } = message(body, control);
  const flags = net.MSG_DONTWAIT | net.MSG_NOSIGNAL;
  const sent = Number(system.libc.sharingCalls.sendmsg(socket.number, header, flags));
  const numbers = () => fds.map(({ number }) => number).join(", ");
  const args = () => `${socket.number}, {${held[1]?.length} bytes, SCM_RIGHTS [${numbers()}]}, …`;
  return Math.min(resultOrErrno(system, "sendmsg", sent, args), 0);
}

/** A received message: its bytes, and descriptors that the receiver owns. */
export interface ReceivedMessage {
  readonly body: Uint8Array;
  readonly fds: readonly Fd[];
}

/**
 * recvmsg(2), non-blocking: receives a message of at most `bytes` bytes with exactly `count` descriptors. Returns
 * undefined for another message, whose descriptors are closed, at the end, and if there is none.
 */
export function receiveDescriptors(
  system: System,
  socket: Fd,
  bytes: number,
  count: number,
): ReceivedMessage | undefined {
  const body = new Uint8Array(bytes);
  const control = new Uint8Array(controlSpace(count));
  const { header, held } = message(body, control);
  const flags = net.MSG_DONTWAIT | net.MSG_CMSG_CLOEXEC;
  const got = Number(system.libc.sharingCalls.recvmsg(socket.number, header, flags));
  const result = resultOrErrno(system, "recvmsg", got, () => `${socket.number}, …`);
  if (result < 0 || held.length === 0) return undefined;
  const { msg_flags, msg_controllen } = net.msghdr.decode(header);
  const fds = descriptors(control, Number(msg_controllen)).map((number) => new Fd(system, number));
  if (fds.length === count && (msg_flags & net.MSG_CTRUNC) === 0) {
    return { body: body.subarray(0, result), fds };
  }
  for (const fd of fds) fd.close();
  return undefined;
}

/**
 * recvmsg(2), non-blocking: receives a message of at most `bytes` bytes on a socket with SO_PASSCRED. Returns undefined
 * if there is none. `pid` is the sender's in this process's namespace; undefined if it has none there.
 */
export function receiveFromProcess(
  system: System,
  socket: Fd,
  bytes: number,
): { readonly body: Uint8Array; readonly pid: number | undefined } | undefined {
  const body = new Uint8Array(bytes);
  // Without room for descriptors: the kernel closes those of a message that has some.
  const control = new Uint8Array(net.cmsghdr.size + Math.ceil(net.ucred.size / 8) * 8);
  const { header, held } = message(body, control);
  const got = Number(system.libc.sharingCalls.recvmsg(socket.number, header, net.MSG_DONTWAIT));
  const result = resultOrErrno(system, "recvmsg", got, () => `${socket.number}, …`);
  if (result <= 0 || held.length === 0) return undefined;
  const { cmsg_level, cmsg_type } = net.cmsghdr.decode(control);
  const isSender = cmsg_level === net.SOL_SOCKET && cmsg_type === net.SCM_CREDENTIALS;
  const pid = isSender ? net.ucred.decode(control, net.cmsghdr.size).pid : 0;
  return { body: body.subarray(0, result), pid: pid === 0 ? undefined : pid };
}

/** As many descriptors as one message may carry here; QEMU accepts 16 (TCP_MAX_FDS). */
const MAX_DESCRIPTORS = 16;

/**
 * Receives a stream of bytes, and descriptors that come with them. What recvmsg(2) needs is allocated once: a client
 * may send megabytes, and garbage for each read would let the process grow by as much.
 */
export class DescriptorReceiver {
  readonly #control = new Uint8Array(controlSpace(MAX_DESCRIPTORS));
  /** Its body is set for each call. */
  readonly #message = message(new Uint8Array(1), this.#control);
  readonly #vectorView = new DataView(this.#message.vector.buffer);
  readonly #headerView = new DataView(this.#message.header.buffer);
  /** The descriptors of the last message; the caller owns them. */
  fds: readonly Fd[] = NO_DESCRIPTORS;

  constructor(private readonly system: System) {}

  /** recvmsg(2), non-blocking. Returns the number of bytes, 0 at the end, or the negative errno. */
  receive(socket: number, buffer: Uint8Array): number {
    const { system } = this;
    const { iov_base, iov_len } = iovec.offsets;
    setWord(this.#vectorView, iov_base, addressOf(buffer));
    setWord(this.#vectorView, iov_len, buffer.length);
    const { msg_controllen } = net.msghdr.offsets;
    setWord(this.#headerView, msg_controllen, this.#control.length);
    const flags = net.MSG_DONTWAIT | net.MSG_CMSG_CLOEXEC;
    const got = Number(system.libc.sharingCalls.recvmsg(socket, this.#message.header, flags));
    const result = resultOrErrno(system, "recvmsg", got, () => `${socket}, …`);
    const length = result < 0 ? 0 : this.#headerView.getUint32(msg_controllen, true);
    this.fds =
      length === 0 ? NO_DESCRIPTORS : descriptors(this.#control, length).map((fd) => new Fd(system, fd));
    return result;
  }
}

const NO_DESCRIPTORS: readonly Fd[] = [];

/** Stores a number below 2^53 as 64 bits, without a bigint. */
function setWord(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % 2 ** 32, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

function descriptors(control: Uint8Array, length: number): number[] {
  if (length < net.cmsghdr.size) return [];
  const { cmsg_len, cmsg_level, cmsg_type } = net.cmsghdr.decode(control);
  if (cmsg_level !== net.SOL_SOCKET || cmsg_type !== net.SCM_RIGHTS) return [];
  const count = Math.floor((Math.min(Number(cmsg_len), control.length) - net.cmsghdr.size) / FD_BYTES);
  const view = new DataView(control.buffer);
  return Array.from({ length: count }, (_, i) => view.getInt32(net.cmsghdr.size + i * FD_BYTES, true));
}
