/**
 * UNIX sockets with abstract names (unix(7)). Any process may claim or connect to a name, which disappears with the
 * last descriptor. The kernel reports the user of the peer.
 */
import { Fd, openFile, readSome } from "../files.ts";
import { O_RDONLY } from "../linux/fcntl.ts";
import * as net from "../linux/socket.ts";
import { checked, resultOrErrno, type System } from "../system.ts";
import { quoted } from "../trace.ts";

const SOCKET_TYPE = net.SOCK_SEQPACKET | net.SOCK_NONBLOCK | net.SOCK_CLOEXEC;

const socketArgs = () => "AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0";

/** sa_family, a NUL and the name, which the length of the address delimits. */
function addressOf(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  const address = new Uint8Array(3 + bytes.length);
  address[0] = net.AF_UNIX;
  address.set(bytes, 3);
  return address;
}

/** Listens for SOCK_SEQPACKET connections. Throws SyscallError: EADDRINUSE. */
export function listenAbstract(system: System, name: string): Fd {
  const number = system.libc.socket(net.AF_UNIX, SOCKET_TYPE, 0);
  const opened = checked(system, "socket", number, { args: socketArgs, subject: `@${name}` });
  const socket = new Fd(system, opened);
  try {
    const address = addressOf(name);
    const bound = system.libc.bind(socket.number, address, address.length);
    checked(system, "bind", bound, {
      args: () => `${socket.number}, ${quoted(`@${name}`)}`,
      subject: `@${name}`,
    });
    const listening = system.libc.listen(socket.number, net.SOMAXCONN);
    checked(system, "listen", listening, {
      args: () => `${socket.number}, ${net.SOMAXCONN}`,
      subject: `@${name}`,
    });
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * socket(2) and connect(2): returns the socket, or the negative errno; -EAGAIN if the backlog is full.
 * @param credentials whether the socket receives the sender's process id with each message (SO_PASSCRED).
 */
export function connectAbstract(system: System, name: string, credentials = false): Fd | number {
  const opened = resultOrErrno(system, "socket", system.libc.socket(net.AF_UNIX, SOCKET_TYPE, 0), socketArgs);
  if (opened < 0) return opened;
  const socket = new Fd(system, opened);
  if (credentials) {
    const on = Uint8Array.of(1, 0, 0, 0);
    const set = system.libc.setsockopt(socket.number, net.SOL_SOCKET, net.SO_PASSCRED, on, on.length);
    resultOrErrno(system, "setsockopt", set, () => `${socket.number}, SOL_SOCKET, SO_PASSCRED, [1]`);
  }
  const address = addressOf(name);
  const number = system.libc.connect(socket.number, address, address.length);
  const args = () => `${socket.number}, ${quoted(`@${name}`)}`;
  const result = resultOrErrno(system, "connect", number, args);
  if (result === 0) return socket;
  socket.close();
  return result;
}

/** accept4(2): returns the next connection, or the negative errno. */
export function acceptAbstract(system: System, listener: Fd): Fd | number {
  const number = system.libc.accept4(listener.number, null, null, net.SOCK_NONBLOCK | net.SOCK_CLOEXEC);
  const result = resultOrErrno(system, "accept4", number, () => `${listener.number}, NULL, NULL, …`);
  return result < 0 ? result : new Fd(system, result);
}

/** Returns the user of the peer at its connect(2) or listen(2), by SO_PEERCRED; undefined if it cannot be read. */
export function peerUser(system: System, socket: Fd): number | undefined {
  const value = new Uint8Array(net.ucred.size);
  const length = Uint8Array.of(value.length, 0, 0, 0);
  const number = system.libc.getsockopt(socket.number, net.SOL_SOCKET, net.SO_PEERCRED, value, length);
  const { pid, uid } = net.ucred.decode(value);
  const args = () => `${socket.number}, SOL_SOCKET, SO_PEERCRED, {pid=${pid}, uid=${uid}}`;
  return resultOrErrno(system, "getsockopt", number, args) < 0 ? undefined : uid;
}

/** __SO_ACCEPTCON (linux/net.h) among the flags, then type, state, inode and the name (net/unix/af_unix.c). */
const LISTENING = /^\S+ \S+ \S+ 00010000 \S+ \S+ +(\d+) @(.*)$/;
const MAX_NAMES = 1 << 18;

/** A listening socket. */
export interface ListeningSocket {
  readonly name: string;
  /** The link of its descriptor in /proc/PID/fd: `socket:[INODE]`. */
  readonly inode: string;
}

/**
 * Returns the listening sockets whose abstract names have this prefix, from /proc/PID/net/unix; none if it cannot be
 * read. @param process a process id: the sockets are those of its network namespace.
 */
export function listeningSockets(
  system: System,
  prefix: string,
  process: number | "self" = "self",
): ListeningSocket[] {
  const found: ListeningSocket[] = [];
  try {
    using file = openFile(system, `/proc/${process}/net/unix`, O_RDONLY);
    const bytes = new Uint8Array(64 * 1024);
    for (let rest = ""; found.length < MAX_NAMES; ) {
      const got = readSome(system, file.number, bytes);
      if (got <= 0) break;
      const lines = (rest + new TextDecoder("latin1").decode(bytes.subarray(0, got))).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, inode, name] = LISTENING.exec(line) ?? [];
        if (inode !== undefined && name?.startsWith(prefix)) found.push({ name, inode });
      }
    }
  } catch {
    // Without /proc the caller finds only the name it knows.
  }
  return found;
}

/** Returns the names of listeningSockets. */
export function listeningNames(system: System, prefix: string): string[] {
  return listeningSockets(system, prefix).map(({ name }) => name);
}
