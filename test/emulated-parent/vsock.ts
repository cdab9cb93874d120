/**
 * The parent instance's vsock, emulated with AF_UNIX sockets. A launcher receives a real socket, so that the kernel
 * implements listen, poll, read, write and close; only addresses are translated. Port P is the abstract name `…port/P`;
 * a peer is identified by the name `…peer/CID:PORT/n` that it has bound before it connected.
 */

import type { Loop } from "./loop.ts";
import type { Notification } from "./notification.ts";
import { E } from "./sys/errno.ts";
import { closeFd, identityOf, readiness } from "./sys/files.ts";
import {
  AF,
  CID,
  ERESTARTSYS,
  F_GETFL,
  NR,
  O,
  POLL,
  PORT_ANY,
  SOCK,
  SOCKADDR_VM_BYTES,
} from "./sys/kernel.ts";
import { call, fixedBytes } from "./sys/libc.ts";
import { copyDescriptor, identityOfDescriptor, signalState } from "./sys/processes.ts";
import { acceptOn, bindName, connectName, listenOn, makeSocket, peerName } from "./sys/sockets.ts";
import type { Instance } from "./topology/instance.ts";
import type { Trace } from "./trace.ts";

/** An address of the family. */
export interface VsockAddress {
  cid: number;
  port: number;
}

interface VsockSocket {
  local?: VsockAddress;
  peer?: VsockAddress;
  /** The result of the next getsockopt(SO_ERROR). */
  pendingError: number;
}

const UNBOUND: VsockAddress = { cid: CID.ANY, port: PORT_ANY };
const FIRST_EPHEMERAL_PORT = 0x40000000; // far from any port in use
const signalPollMs = 20;

/** Takes a connection to the hypervisor (CID 0); undefined if the port has no listener. */
export type HypervisorPort = (port: number) => ((fd: number) => void) | undefined;

/** All vsock sockets of the parent instance. */
export class Vsock {
  /** The listeners on the hypervisor's ports. */
  hypervisor: HypervisorPort = () => undefined;
  private readonly base = `nitro-parent/${process.pid}/${Math.random().toString(36).slice(2)}/`;
  private readonly sockets = new Map<string, VsockSocket>();
  private readonly hypervisorListener = makeSocket(true);
  private nextPort = FIRST_EPHEMERAL_PORT;
  private peerCount = 0;

  constructor(
    private readonly instance: Instance,
    private readonly loop: Loop,
    private readonly trace: Trace,
  ) {
    bindName(this.hypervisorListener, `${this.base}hypervisor`);
    listenOn(this.hypervisorListener, 16);
  }

  /** Closes the socket of the hypervisor's port. */
  close(): void {
    closeFd(this.hypervisorListener);
  }

  /** Whether a call's descriptor is one of these sockets. */
  owns(request: Notification): boolean {
    return this.find(request) !== undefined;
  }

  private find(request: Notification): VsockSocket | undefined {
    if (this.sockets.size === 0) return undefined;
    return this.sockets.get(identityOfDescriptor(request.tid, request.i32(0)) ?? "");
  }

  /** Connects from any CID to a port of the parent; returns the nonblocking descriptor or the negated errno. */
  connectFrom(cid: number, port: number): number {
    if (!this.instance.hasTransport) return -E.ECONNRESET;
    const fd = makeSocket(true);
    const result = this.nameAndConnect(fd, cid, port);
    if (result < 0) closeFd(fd);
    return result < 0 ? result : fd;
  }

  private nameAndConnect(fd: number, cid: number, port: number): number {
    this.peerCount += 1;
    bindName(fd, `${this.base}peer/${cid}:${this.nextPort++}/${this.peerCount}`);
    const result = connectName(fd, `${this.base}port/${port}`);
    // vsock answers with a reset where no socket listens, and where the listener's queue is full
    // (net/vmw_vsock/virtio_transport_common.c: virtio_transport_recv_listen).
    return result === -E.ECONNREFUSED || result === -E.EAGAIN ? -E.ECONNRESET : result;
  }

  /** socket(AF_VSOCK, …). */
  create(request: Notification): void {
    if (!this.instance.makeVsock()) return request.fail(E.EAFNOSUPPORT);
    const type = request.u32(1);
    if ((type & SOCK.TYPE_MASK) !== SOCK.STREAM) return request.fail(94); // ESOCKTNOSUPPORT (asm-generic/errno.h)
    if (request.u32(2) !== 0 && request.u32(2) !== AF.VSOCK) return request.fail(E.EPROTONOSUPPORT);
    const fd = makeSocket((type & SOCK.NONBLOCK) !== 0);
    this.sockets.set(identityOf("", fd) ?? "", { pendingError: 0 });
    request.replyWithFd(fd, (type & SOCK.CLOEXEC) !== 0);
    closeFd(fd);
  }

  /** bind: a port has one owner on the whole parent instance. */
  bind(request: Notification): VsockAddress | undefined {
    const socket = this.find(request);
    const address = this.readAddress(request);
    if (socket === undefined || address === undefined) return undefined;
    if (socket.local !== undefined) request.fail(E.EINVAL);
    else if (![CID.ANY, CID.LOCAL, CID.PARENT].some((cid) => cid === address.cid))
      request.fail(E.EADDRNOTAVAIL);
    else if (this.instance.takenPorts.has(address.port)) request.fail(E.EADDRINUSE);
    else {
      const port = address.port === PORT_ANY ? this.nextPort++ : address.port;
      const fd = copyDescriptor(request.pid, request.i32(0));
      const result = fd < 0 ? fd : bindName(fd, `${this.base}port/${port}`);
      if (fd >= 0) closeFd(fd);
      if (result < 0) request.fail(-result);
      else {
        socket.local = { cid: address.cid, port };
        this.instance.listeners.set(port, request.pid);
        request.reply(0);
      }
    }
    return address;
  }

  /** connect: to the hypervisor's ports, or to one of the parent's own. */
  connect(request: Notification): VsockAddress | undefined {
    const socket = this.find(request);
    const address = this.readAddress(request);
    if (socket === undefined || address === undefined) return undefined;
    if (socket.peer !== undefined) {
      request.fail(E.EISCONN);
      return address;
    }
    const fd = copyDescriptor(request.pid, request.i32(0));
    if (fd < 0) {
      request.fail(-fd);
      return address;
    }
    const nonblocking = (call(NR.fcntl, fd, F_GETFL) & O.NONBLOCK) !== 0;
    const result = this.connectTo(fd, address);
    closeFd(fd);
    if (result === 0) {
      socket.local ??= { cid: CID.PARENT, port: this.nextPort++ };
      socket.peer = address;
    }
    // A nonblocking caller reads either result from poll and SO_ERROR; an unconnected AF_UNIX socket polls as writable.
    if (nonblocking) {
      socket.pendingError = -result;
      request.fail(E.EINPROGRESS);
    } else if (result < 0) request.fail(-result);
    else request.reply(0);
    return address;
  }

  private connectTo(fd: number, address: VsockAddress): number {
    if (address.cid !== CID.LOCAL && !this.instance.hasTransport) return -E.ENODEV; // vsock_assign_transport
    if (address.cid === CID.HYPERVISOR) {
      const accepter = this.hypervisor(address.port);
      if (accepter === undefined) return -E.ECONNRESET;
      const result = connectName(fd, `${this.base}hypervisor`);
      if (result < 0) return result;
      const server = acceptOn(this.hypervisorListener, true);
      if (server < 0) return -E.ECONNRESET;
      accepter(server);
      return 0;
    }
    if (address.cid > CID.PARENT) return -E.ECONNRESET; // no enclave here listens on a port of its own
    const source = address.cid === CID.LOCAL ? CID.LOCAL : CID.PARENT;
    return this.nameAndConnect(fd, source, address.port);
  }

  /** accept and accept4; `flags` are those of accept4. Returns the peer if one is waiting. */
  accept(request: Notification, flags: number): VsockAddress | undefined {
    const socket = this.find(request);
    if (socket === undefined) return undefined;
    const listener = copyDescriptor(request.pid, request.i32(0));
    if (listener < 0) {
      request.fail(-listener);
      return undefined;
    }
    const nonblocking = (call(NR.fcntl, listener, F_GETFL) & O.NONBLOCK) !== 0;
    if (nonblocking || readiness(listener, POLL.IN) !== 0) {
      const peer = this.take(request, socket, listener, flags);
      closeFd(listener);
      return peer;
    }
    this.wait(request, socket, listener, flags);
    return undefined;
  }

  /** A blocking accept: waits for a peer, a signal or the caller's end. */
  private wait(request: Notification, socket: VsockSocket, listener: number, flags: number): void {
    const finish = (): void => {
      cancel();
      this.loop.unwatch(watch);
      closeFd(listener);
    };
    const watch = this.loop.watch(listener, POLL.IN, () => {
      const peer = this.take(request, socket, listener, flags);
      if (peer !== undefined) this.trace.add("accept4", { peer, waited: true });
      finish();
    });
    const check = (): void => {
      const state = signalState(request.tid);
      if (state === "pending") request.fail(ERESTARTSYS); // the kernel turns it into EINTR or another accept
      if (state === "none") cancel = this.loop.after(signalPollMs, check);
      else finish();
    };
    let cancel = this.loop.after(signalPollMs, check);
  }

  private take(
    request: Notification,
    socket: VsockSocket,
    listener: number,
    flags: number,
  ): VsockAddress | undefined {
    const fd = acceptOn(listener, (flags & SOCK.NONBLOCK) !== 0);
    if (fd < 0) {
      request.fail(-fd);
      return undefined;
    }
    const [, cid = "0", port = "0"] = /peer\/(\d+):(\d+)\//.exec(peerName(fd)) ?? [];
    const peer = { cid: Number(cid), port: Number(port) };
    const local = { cid: CID.PARENT, port: socket.local?.port ?? PORT_ANY };
    this.sockets.set(identityOf("", fd) ?? "", { local, peer, pendingError: 0 });
    const error = this.writeAddress(request, peer);
    if (error !== 0) request.fail(error);
    else request.replyWithFd(fd, (flags & SOCK.CLOEXEC) !== 0);
    closeFd(fd);
    return peer;
  }

  /** getsockname and getpeername. */
  getName(request: Notification, side: "local" | "peer"): void {
    const socket = this.find(request);
    if (socket === undefined) return request.proceed();
    const address = side === "local" ? (socket.local ?? UNBOUND) : socket.peer;
    if (address === undefined) return request.fail(E.ENOTCONN);
    const error = this.writeAddress(request, address);
    if (error === 0) request.reply(0);
    else request.fail(error);
  }

  /** getsockopt(SO_ERROR): returns the result of a nonblocking connect, once. */
  getError(request: Notification): void {
    const socket = this.find(request);
    if (socket === undefined || socket.pendingError === 0) return request.proceed();
    const bytes = fixedBytes(4);
    new DataView(bytes.buffer).setInt32(0, socket.pendingError, true);
    socket.pendingError = 0;
    if (request.write(request.wide(3), bytes)) request.reply(0);
    else request.fail(E.EFAULT);
  }

  /** setsockopt of the family's own level (buffer sizes, connect timeout): accepted without effect. */
  setOption(request: Notification): void {
    if (this.owns(request)) request.reply(0);
    else request.proceed();
  }

  private readAddress(request: Notification): VsockAddress | undefined {
    const view =
      request.u32(2) < SOCKADDR_VM_BYTES ? undefined : request.read(request.wide(1), SOCKADDR_VM_BYTES);
    if (view === undefined) {
      if (this.owns(request)) request.fail(E.EFAULT); // net/vmw_vsock/vsock_addr.c: vsock_addr_cast
      return undefined;
    }
    if (view.getUint16(0, true) !== AF.VSOCK) {
      if (this.owns(request)) request.fail(E.EAFNOSUPPORT);
      return undefined;
    }
    return { port: view.getUint32(4, true), cid: view.getUint32(8, true) };
  }

  /** Writes a struct sockaddr_vm by the rules of an address argument; returns 0 or the errno. */
  private writeAddress(request: Notification, address: VsockAddress): number {
    const [at, lengthAt] = [request.wide(1), request.wide(2)];
    if (at === 0) return 0;
    const room = request.read(lengthAt, 4)?.getInt32(0, true);
    if (room === undefined) return E.EFAULT;
    if (room < 0) return E.EINVAL;
    const bytes = fixedBytes(SOCKADDR_VM_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, AF.VSOCK, true);
    view.setUint32(4, address.port, true);
    view.setUint32(8, address.cid, true);
    const length = fixedBytes(4);
    new DataView(length.buffer).setInt32(0, SOCKADDR_VM_BYTES, true);
    const written = request.write(at, bytes.subarray(0, Math.min(room, SOCKADDR_VM_BYTES)));
    return written && request.write(lengthAt, length) ? 0 : E.EFAULT;
  }
}
