/** UNIX and TCP stream sockets, all of them non-blocking. */

import { SyscallError, UserError } from "../errors.ts";
import { linkStatus } from "../file-status.ts";
import { Fd, removeFile } from "../files.ts";
import { ERRNO } from "../linux/errno.ts";
import { IPPROTO_TCP, sockaddrIn } from "../linux/in.ts";
import { IPPROTO_IPV6, IPV6_V6ONLY, sockaddrIn6 } from "../linux/in6.ts";
import * as net from "../linux/socket.ts";
import { S_IFSOCK } from "../linux/stat.ts";
import { TCP_NODELAY } from "../linux/tcp.ts";
import { sockaddrUn, UNIX_PATH_MAX } from "../linux/un.ts";
import { fileRemover } from "../output-files.ts";
import { checked, resultOrErrno, type System } from "../system.ts";
import { addressText, ipv4Bytes, ipv6Bytes, type SocketAddress, type TcpAddress } from "./address.ts";

const STREAM = net.SOCK_STREAM | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC;
/** Connections that wait to be accepted. */
export const LISTEN_BACKLOG = 16;
/** UNIX sockets are accessible to their owner only. */
const OWNER_ONLY_UMASK = 0o177;

/** A socket address as bind(2) and connect(2) read it. */
interface EncodedAddress {
  readonly family: number;
  readonly bytes: Uint8Array;
}

function encodedPath(path: string): EncodedAddress {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length >= UNIX_PATH_MAX) {
    throw new UserError(`unix:${path}`, `a socket's path has at most ${UNIX_PATH_MAX - 1} bytes`);
  }
  const sun_path = [...bytes, ...new Uint8Array(UNIX_PATH_MAX - bytes.length)];
  return { family: net.AF_UNIX, bytes: sockaddrUn.encode({ sun_family: net.AF_UNIX, sun_path }) };
}

/** Returns the numeric address of a host. @param both the family of an empty host that is not limited to one. */
function numericHost({ host, family }: TcpAddress, both: "ipv4" | "ipv6"): string {
  if (host === "localhost") return family === "ipv6" ? "::1" : "127.0.0.1";
  if (host === "0") return "0.0.0.0";
  if (host === "") return (family ?? both) === "ipv6" ? "::" : "0.0.0.0";
  return host;
}

/** @param both as of numericHost. Throws UserError. */
function encodedTcp(address: TcpAddress, both: "ipv4" | "ipv6"): EncodedAddress {
  const port = [address.port >> 8, address.port & 0xff];
  const host = numericHost(address, both);
  const four = ipv4Bytes(host);
  if (four !== undefined) {
    const sin = {
      sin_family: net.AF_INET,
      sin_port: port,
      sin_addr: four,
      sin_zero: Array<number>(8).fill(0),
    };
    return { family: net.AF_INET, bytes: sockaddrIn.encode(sin) };
  }
  const six = ipv6Bytes(host);
  if (six === undefined) {
    throw new UserError(addressText(address), "host names are not resolved", "give the numeric address");
  }
  const sin6 = {
    sin6_family: net.AF_INET6,
    sin6_port: port,
    sin6_flowinfo: 0,
    sin6_addr: six,
    sin6_scope_id: 0,
  };
  return { family: net.AF_INET6, bytes: sockaddrIn6.encode(sin6) };
}

function openSocket(system: System, family: number, subject: string): Fd {
  const number = system.libc.socket(family, STREAM, 0);
  return new Fd(
    system,
    checked(system, "socket", number, { args: () => `${family}, ${STREAM}, 0`, subject }),
  );
}

/** setsockopt(2) with a number; an error appears in the trace only. */
function setOption(
  system: System,
  socket: Fd,
  { level, name, setting }: { readonly level: number; readonly name: number; readonly setting: number },
): void {
  const value = Uint8Array.of(setting, 0, 0, 0);
  const result = system.libc.setsockopt(socket.number, level, name, value, value.length);
  resultOrErrno(system, "setsockopt", result, () => `${socket.number}, ${level}, ${name}, [${setting}], 4`);
}

/** A listening socket; disposal closes it and removes the file of a UNIX socket. */
export interface Listener extends Disposable {
  readonly fd: number;
  /** With the port that the kernel chose, if 0 was requested. */
  readonly address: SocketAddress;
}

/**
 * Listens on an address. A stale UNIX socket at the path is replaced; an empty TCP host is all addresses of both
 * families, or of IPv4 where the kernel has no IPv6. Throws SyscallError, UserError.
 */
export function listenSocket(system: System, address: SocketAddress): Listener {
  if (address.kind === "unix") return listenOn(system, address, encodedPath(address.path));
  if (address.host !== "" || address.family !== undefined)
    return listenOn(system, address, encodedTcp(address, "ipv4"));
  try {
    return listenOn(system, address, encodedTcp(address, "ipv6"));
  } catch (error) {
    if (!(error instanceof SyscallError) || !NO_IPV6.includes(error.errno)) throw error;
    return listenOn(system, address, encodedTcp(address, "ipv4"));
  }
}

/** socket(2) without IPv6, and bind(2) where it is switched off for all interfaces (disable_ipv6). */
const NO_IPV6: readonly number[] = [ERRNO.EAFNOSUPPORT, ERRNO.EADDRNOTAVAIL];

function listenOn(system: System, address: SocketAddress, { family, bytes }: EncodedAddress): Listener {
  const subject = addressText(address);
  const socket = openSocket(system, family, subject);
  try {
    if (address.kind === "unix") removeStale(system, address.path);
    else setOption(system, socket, { level: net.SOL_SOCKET, name: net.SO_REUSEADDR, setting: 1 });
    // Without it, /proc/sys/net/ipv6/bindv6only decides whether IPv4 clients are accepted.
    if (family === net.AF_INET6) {
      const only = address.kind === "tcp" && address.family === "ipv6" ? 1 : 0;
      setOption(system, socket, { level: IPPROTO_IPV6, name: IPV6_V6ONLY, setting: only });
    }
    const mask = system.libc.umask(OWNER_ONLY_UMASK);
    const result = system.libc.bind(socket.number, bytes, bytes.length);
    const bound = resultOrErrno(
      system,
      "bind",
      result,
      () => `${socket.number}, ${subject}, ${bytes.length}`,
    );
    system.libc.umask(mask);
    if (bound < 0) throw new SyscallError("bind", -bound, subject);
    const listening = system.libc.listen(socket.number, LISTEN_BACKLOG);
    checked(system, "listen", listening, { args: () => `${socket.number}, ${LISTEN_BACKLOG}`, subject });
  } catch (error) {
    socket.close();
    throw error;
  }
  const remove = address.kind === "unix" ? fileRemover(system, address.path) : () => {};
  return {
    fd: socket.number,
    address: address.kind === "unix" ? address : { ...address, port: boundPort(system, socket) },
    [Symbol.dispose]() {
      socket.close();
      remove();
    },
  };
}

/** Removes a stale socket. A file of another type stays, and bind(2) fails. */
function removeStale(system: System, path: string): void {
  const existing = linkStatus(system, path);
  if (existing === undefined) return;
  if (existing.kind === S_IFSOCK) return removeFile(system, path);
  throw new UserError(`unix:${path}`, "the path exists and is not a socket", "choose another path");
}

/** The port is at the same offset in both address families, in network order. */
function boundPort(system: System, socket: Fd): number {
  const name = new Uint8Array(sockaddrIn6.size);
  const length = Uint8Array.of(name.length, 0, 0, 0);
  const result = system.libc.getsockname(socket.number, name, length);
  resultOrErrno(system, "getsockname", result, () => `${socket.number}, …`);
  return new DataView(name.buffer).getUint16(2);
}

/** accept4(2): returns the next connection, or the negative errno. */
export function acceptSocket(system: System, listener: Listener): Fd | number {
  const number = system.libc.accept4(listener.fd, null, null, net.SOCK_NONBLOCK | net.SOCK_CLOEXEC);
  const result = resultOrErrno(system, "accept4", number, () => `${listener.fd}, NULL, NULL, …`);
  return result < 0 ? result : new Fd(system, result);
}

/** Non-blocking connect(2). `result` is 0, -EINPROGRESS or the negative errno. Throws SyscallError, UserError. */
export function connectSocket(system: System, address: SocketAddress): { socket: Fd; result: number } {
  const { family, bytes } =
    address.kind === "unix" ? encodedPath(address.path) : encodedTcp(asClient(address), "ipv4");
  const subject = addressText(address);
  const socket = openSocket(system, family, subject);
  const number = system.libc.connect(socket.number, bytes, bytes.length);
  const result = resultOrErrno(
    system,
    "connect",
    number,
    () => `${socket.number}, ${subject}, ${bytes.length}`,
  );
  // EAGAIN means that the backlog of a UNIX socket is full; the caller retries as after ECONNREFUSED.
  return { socket, result: result === -ERRNO.EAGAIN ? -ERRNO.ECONNREFUSED : result };
}

/** As in QEMU, a client without a host connects to the local host. */
function asClient(address: TcpAddress): TcpAddress {
  return address.host === "" ? { ...address, host: "localhost" } : address;
}

/** Sets TCP_NODELAY, so that short answers are sent at once. */
export function setNoDelay(system: System, socket: Fd): void {
  setOption(system, socket, { level: IPPROTO_TCP, name: TCP_NODELAY, setting: 1 });
}
