/**
 * Sockets that another program opened and passed to nitro: inherited across execve(2), or received over a UNIX socket
 * with SCM_RIGHTS.
 */
import { setNonBlocking } from "../descriptor-flags.ts";
import { SyscallError } from "../errors.ts";
import type { Fd } from "../files.ts";
import { sockaddrIn6 } from "../linux/in6.ts";
import * as net from "../linux/socket.ts";
import { sockaddrUn } from "../linux/un.ts";
import { resultOrErrno, type System } from "../system.ts";
import type { SocketAddress } from "./address.ts";
import { socketOption } from "./options.ts";
import { LISTEN_BACKLOG, type Listener } from "./stream.ts";

/**
 * Returns the local address of a UNIX or TCP socket; undefined for a descriptor that is none. An unnamed or abstract
 * UNIX socket has the path "".
 */
export function localAddress(system: System, socket: Fd): SocketAddress | undefined {
  const name = new Uint8Array(sockaddrUn.size);
  const length = Uint8Array.of(name.length, 0, 0, 0);
  const number = system.libc.getsockname(socket.number, name, length);
  if (resultOrErrno(system, "getsockname", number, () => `${socket.number}, …`) < 0) return undefined;
  if (socketOption(system, socket, "SO_TYPE") !== net.SOCK_STREAM) return undefined;
  const view = new DataView(name.buffer);
  const family = view.getUint16(0, true);
  if (family === net.AF_UNIX) {
    const path = name.subarray(2, length[0]);
    const end = path.indexOf(0);
    return { kind: "unix", path: new TextDecoder().decode(end === -1 ? path : path.subarray(0, end)) };
  }
  // The port is at the same offset in both address families, in network order.
  const port = view.getUint16(2);
  if (family === net.AF_INET) return { kind: "tcp", host: name.subarray(4, 8).join("."), port };
  if (family !== net.AF_INET6) return undefined;
  const groups: string[] = [];
  const { sin6_addr } = sockaddrIn6.decode(name);
  for (let i = 0; i < 16; i += 2) {
    groups.push((((sin6_addr[i] ?? 0) << 8) | (sin6_addr[i + 1] ?? 0)).toString(16));
  }
  return { kind: "tcp", host: groups.join(":"), port };
}

/** Listens on a passed socket, which disposal closes; the file of a UNIX socket stays. Throws SyscallError. */
export function listenOnPassed(system: System, socket: Fd, address: SocketAddress): Listener {
  setNonBlocking(system, socket.number);
  const listening = system.libc.listen(socket.number, LISTEN_BACKLOG);
  const result = resultOrErrno(system, "listen", listening, () => `${socket.number}, ${LISTEN_BACKLOG}`);
  if (result < 0) throw new SyscallError("listen", -result, `fd=${socket.number}`);
  return { fd: socket.number, address, [Symbol.dispose]: () => socket.close() };
}
