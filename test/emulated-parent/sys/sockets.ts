/** Stream sockets of the family AF_UNIX with abstract names, which stand for vsock addresses. */

import { AF, NR, SOCK, SOL_SOCKET } from "./kernel.ts";
import { addressOf, call, fixedBytes, mustCall } from "./libc.ts";

const SOCKADDR_UN_BYTES = 110; // linux/un.h: u16 family and 108 bytes of path
const address = Buffer.from(new ArrayBuffer(SOCKADDR_UN_BYTES));
const addressAt = addressOf(address);
const lengthCell = new Int32Array(new ArrayBuffer(4));
const lengthAt = addressOf(lengthCell);

function putName(name: string): number {
  address.fill(0);
  address.writeUInt16LE(AF.UNIX, 0);
  return 3 + address.write(name, 3, "latin1"); // the zero byte at 2 makes the name abstract (unix(7))
}

/** Creates a stream socket, nonblocking if requested. */
export function makeSocket(nonblocking: boolean): number {
  const type = SOCK.STREAM | SOCK.CLOEXEC | (nonblocking ? SOCK.NONBLOCK : 0);
  return mustCall("socket", NR.socket, AF.UNIX, type, 0);
}

/** Binds a socket to an abstract name; returns 0 or the negated errno. */
export function bindName(fd: number, name: string): number {
  return call(NR.bind, fd, addressAt, putName(name));
}

/** Connects a socket to an abstract name; returns 0 or the negated errno. */
export function connectName(fd: number, name: string): number {
  return call(NR.connect, fd, addressAt, putName(name));
}

/** Listens for connections. */
export function listenOn(fd: number, backlog: number): void {
  mustCall("listen", NR.listen, fd, backlog);
}

/** Accepts the next connection of a listener; returns its descriptor or the negated errno. */
export function acceptOn(fd: number, nonblocking: boolean): number {
  return call(NR.accept4, fd, 0, 0, SOCK.CLOEXEC | (nonblocking ? SOCK.NONBLOCK : 0));
}

/** Returns the abstract name of a socket's peer, empty if it has none. */
export function peerName(fd: number): string {
  lengthCell[0] = SOCKADDR_UN_BYTES;
  if (call(NR.getpeername, fd, addressAt, lengthAt) < 0) return "";
  return address.subarray(3, Math.max(3, lengthCell[0] ?? 0)).toString("latin1");
}

/** Enlarges a socket's buffers, which a flood of console output needs to be fast. */
export function widenBuffer(fd: number, bytes: number): void {
  const value = fixedBytes(4);
  new DataView(value.buffer).setInt32(0, bytes, true);
  const SO_SNDBUF = 7; // asm-generic/socket.h
  call(NR.setsockopt, fd, SOL_SOCKET, SO_SNDBUF, addressOf(value), 4);
}
