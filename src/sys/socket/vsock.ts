/** Stream sockets between the parent instance and its enclaves (AF_VSOCK), all of them non-blocking. */
import { SyscallError } from "../errors.ts";
import { Fd } from "../files.ts";
import { cString } from "../libc.ts";
import { ERRNO } from "../linux/errno.ts";
import { O_CLOEXEC, O_RDONLY } from "../linux/fcntl.ts";
import {
  AF_VSOCK,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOMAXCONN,
} from "../linux/socket.ts";
import { IOCTL_VM_SOCKETS_GET_LOCAL_CID, sockaddrVm, VMADDR_CID_ANY } from "../linux/vm_sockets.ts";
import { checked, resultOrErrno, type System } from "../system.ts";
import { socketOption } from "./options.ts";

const SOCKET_TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

function vsockAddress(cid: number, port: number): Uint8Array {
  return sockaddrVm.encode({
    svm_family: AF_VSOCK,
    svm_reserved1: 0,
    svm_port: port,
    svm_cid: cid,
    svm_flags: 0,
    svm_zero: [0, 0, 0],
  });
}

function addressText(cid: number, port: number): string {
  const name = cid === VMADDR_CID_ANY ? "VMADDR_CID_ANY" : String(cid);
  return `{AF_VSOCK, cid=${name}, port=${port}}`;
}

function openVsock(system: System): Fd {
  const number = system.libc.socket(AF_VSOCK, SOCKET_TYPE, 0);
  const args = () => "AF_VSOCK, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0";
  return new Fd(system, checked(system, "socket", number, { args, subject: "AF_VSOCK" }));
}

/** Creates and closes a socket of the family. Throws SyscallError: EAFNOSUPPORT if the kernel lacks it. */
export function vsockAvailable(system: System): void {
  openVsock(system).close();
}

/**
 * Returns the CID of this machine, from /dev/vsock: VMADDR_CID_ANY if no transport is loaded, VMADDR_CID_LOCAL if
 * there is only the loopback; undefined if it cannot be read.
 */
export function localCid(system: System): number | undefined {
  const name = cString("/dev/vsock");
  const opened = system.libc.open(name, O_RDONLY | O_CLOEXEC, 0);
  if (resultOrErrno(system, "open", opened, () => '"/dev/vsock", O_CLOEXEC') < 0) return undefined;
  using fd = new Fd(system, opened);
  const cell = new Uint8Array(4);
  const returned = system.libc.ioctl(fd.number, IOCTL_VM_SOCKETS_GET_LOCAL_CID, cell);
  const cid = () => new DataView(cell.buffer).getUint32(0, true);
  const result = resultOrErrno(
    system,
    "IOCTL_VM_SOCKETS_GET_LOCAL_CID",
    returned,
    () => `${fd.number}, ${cid()}`,
  );
  return result < 0 ? undefined : cid();
}

/** Whether a port is free, by binding it for a moment without listening. Throws SyscallError. */
export function vsockPortIsFree(system: System, port: number): boolean {
  using socket = openVsock(system);
  const address = vsockAddress(VMADDR_CID_ANY, port);
  const bound = system.libc.bind(socket.number, address, address.length);
  const args = () => `${socket.number}, ${addressText(VMADDR_CID_ANY, port)}, ${address.length}`;
  const result = resultOrErrno(system, "bind", bound, args);
  if (result < 0 && result !== -ERRNO.EADDRINUSE)
    throw new SyscallError("bind", -result, `vsock port ${port}`);
  return result >= 0;
}

/** Listens on a port of all CIDs of this machine. Throws SyscallError. */
export function listenVsock(system: System, port: number): Fd {
  const socket = openVsock(system);
  try {
    const address = vsockAddress(VMADDR_CID_ANY, port);
    const bound = system.libc.bind(socket.number, address, address.length);
    const args = () => `${socket.number}, ${addressText(VMADDR_CID_ANY, port)}, ${address.length}`;
    checked(system, "bind", bound, { args, subject: `vsock port ${port}` });
    const listening = system.libc.listen(socket.number, SOMAXCONN);
    checked(system, "listen", listening, {
      args: () => `${socket.number}, ${SOMAXCONN}`,
      subject: `vsock port ${port}`,
    });
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Returns the vsock port that a socket is bound to; undefined for a socket of another family. */
export function boundVsockPort(system: System, socket: Fd): number | undefined {
  const address = new Uint8Array(sockaddrVm.size);
  const length = Uint8Array.of(address.length, 0, 0, 0);
  const number = system.libc.getsockname(socket.number, address, length);
  const { svm_family, svm_cid, svm_port } = sockaddrVm.decode(address);
  const args = () => `${socket.number}, ${addressText(svm_cid, svm_port)}`;
  const result = resultOrErrno(system, "getsockname", number, args);
  return result === 0 && svm_family === AF_VSOCK ? svm_port : undefined;
}

/** An accepted connection, with CID and port of the peer. */
export interface VsockConnection {
  readonly socket: Fd;
  readonly cid: number;
  readonly port: number;
}

/** accept4(2): returns the next connection, or the negative errno. */
export function acceptVsock(system: System, listener: Fd): VsockConnection | number {
  const address = new Uint8Array(sockaddrVm.size);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, address.length, true);
  const number = system.libc.accept4(listener.number, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  const result = resultOrErrno(system, "accept4", number, () => {
    const { svm_cid, svm_port } = sockaddrVm.decode(address);
    const peer = number < 0 ? "…" : addressText(svm_cid, svm_port);
    return `${listener.number}, ${peer}, SOCK_NONBLOCK|SOCK_CLOEXEC`;
  });
  if (result < 0) return result;
  const { svm_cid, svm_port } = sockaddrVm.decode(address);
  return { socket: new Fd(system, result), cid: svm_cid, port: svm_port };
}

/** A pending connection. It is established when the socket is writable and connectResult returns 0. */
export interface PendingConnection {
  readonly socket: Fd;
  /** 0 if connected at once, -EINPROGRESS while pending, else the negative errno. */
  readonly result: number;
}

/** Non-blocking connect(2). Throws SyscallError if no socket can be created. */
export function connectVsock(system: System, cid: number, port: number): PendingConnection {
  const socket = openVsock(system);
  const address = vsockAddress(cid, port);
  const number = system.libc.connect(socket.number, address, address.length);
  const args = () => `${socket.number}, ${addressText(cid, port)}, ${address.length}`;
  return { socket, result: resultOrErrno(system, "connect", number, args) };
}

/** Returns the result of a pending connection, by SO_ERROR: 0, or the negative errno. */
export function connectResult(system: System, socket: Fd): number {
  const result = socketOption(system, socket, "SO_ERROR");
  return result < 0 ? result : -result;
}

/** Non-blocking send(2) without SIGPIPE: returns the number of bytes, or a negative errno. */
export function sendSome(system: System, fd: number, address: number, length: number): number {
  const put = Number(system.libc.send(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL));
  return resultOrErrno(system, "send", put, () => `${fd}, …, ${length}, MSG_DONTWAIT|MSG_NOSIGNAL`);
}

/** Whether a connect result means that the connection is pending. */
export function isPending(result: number): boolean {
  return result === -ERRNO.EINPROGRESS || result === -ERRNO.EALREADY;
}
