/**
 * `-chardev socket`: a UNIX or TCP socket that listens (server=on) or connects. It serves one client at a time; further
 * clients wait in the listen backlog. Output is discarded while no client is connected.
 */

import { setNonBlocking } from "../sys/descriptor-flags.ts";
import { errnoText, SyscallError, UserError } from "../sys/errors.ts";
import { type Fd, readSome } from "../sys/files.ts";
import { POLLIN, POLLOUT } from "../sys/linux/poll.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import { nowMs, type Waiter, waiter } from "../sys/poll.ts";
import { addressText, type SocketAddress } from "../sys/socket/address.ts";
import { DescriptorReceiver } from "../sys/socket/descriptor-passing.ts";
import { listenOnPassed } from "../sys/socket/passed.ts";
import {
  acceptSocket,
  connectSocket,
  type Listener,
  listenSocket,
  setNoDelay,
} from "../sys/socket/stream.ts";
import { connectResult, isPending, sendSome } from "../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import { CLIENT_WRITE_TIMEOUT_MS } from "./byte-output.ts";
import type { Chardev, Frontend, SocketBackend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";
import { Telnet } from "./telnet.ts";

const NEVER = Number.POSITIVE_INFINITY;

/** Returns an address as QEMU's error messages spell it: a path, HOST:PORT, or fd:N. */
export function bareAddress(address: SocketBackend["address"]): string {
  if (address.kind === "fd") return `fd:${address.fd}`;
  return address.kind === "unix" ? address.path : addressText(address).slice("tcp:".length);
}

/** Where the device's connections come from. */
export interface SocketSource {
  /** The address that was given, or that a passed socket has. */
  readonly address: SocketAddress;
  /** The socket that another program opened; the device owns it. */
  readonly passed?: Fd;
}

/** A socket as a character device. */
export class SocketChardev implements Chardev {
  readonly type = "chardev-socket";
  readonly writeTimeoutMs = CLIENT_WRITE_TIMEOUT_MS;
  #frontend: Frontend | undefined;
  #listener: Listener | undefined;
  #client: Fd | undefined;
  #connecting: Fd | undefined;
  #reconnectAtMs = NEVER;
  #neverConnected = true;
  #failure: UserError | undefined;
  #telnet: Telnet | undefined;
  readonly #reader: Waiter;
  readonly #acceptor: Waiter;
  readonly #connector: Waiter;

  /** With the port that the kernel chose, if 0 was requested. */
  readonly #address: SocketAddress;
  /** Descriptors that the client has passed with its last message. */
  #received: Fd[] = [];
  #receiver: DescriptorReceiver | undefined;

  /**
   * Listens, starts to connect, or uses a socket that was passed. Throws SyscallError and UserError.
   */
  constructor(
    private readonly system: System,
    readonly label: string,
    private readonly backend: SocketBackend,
    { address, passed }: SocketSource,
  ) {
    const self = this;
    this.#reader = fdReader(system, {
      get fd() {
        return self.fd;
      },
      get frontend() {
        return self.#inputFrontend;
      },
      read: (buffer) => this.#read(buffer),
      onEnd: () => this.#disconnect(),
    });
    this.#acceptor = waiter(
      () => (this.#client === undefined ? (this.#listener?.fd ?? -1) : -1),
      POLLIN,
      () => this.#accept(),
    );
    this.#connector = waiter(
      () => this.#connecting?.number ?? -1,
      POLLOUT,
      () => this.#completeConnect(),
      { deadlineMs: () => this.#reconnectAtMs, expired: () => this.#connect() },
    );
    this.#address = address;
    if (passed !== undefined) this.#usePassed(passed);
    else if (backend.server) {
      this.#listener = listenSocket(system, address);
      this.#address = this.#listener.address;
    } else this.#connect();
  }

  get name(): string {
    return this.filename();
  }

  get fd(): number {
    return this.#client?.number ?? -1;
  }

  get connected(): boolean {
    return this.#client !== undefined;
  }

  get attached(): boolean {
    return this.#frontend !== undefined;
  }

  /** Listens on a passed socket, or serves its other end. Throws SyscallError. */
  #usePassed(socket: Fd): void {
    if (this.backend.server) {
      this.#listener = listenOnPassed(this.system, socket, this.#address);
      return;
    }
    setNonBlocking(this.system, socket.number);
    this.#serve(socket);
  }

  get #inputFrontend(): Frontend | undefined {
    return this.#telnet?.filterInput(this.#frontend) ?? this.#frontend;
  }

  filename(): string {
    const { server, telnet } = this.backend;
    const address = addressText(this.#address);
    const spelled = telnet ? address.replace(/^tcp/, "telnet") : address;
    return `${this.connected ? "" : "disconnected:"}${spelled}${server ? ",server=on" : ""}`;
  }

  /** True until the first connection of a server with wait=on, or of a client without reconnect. Throws UserError. */
  get awaitsConnection(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#neverConnected && (this.backend.server ? this.backend.wait : this.backend.reconnectMs === 0);
  }

  addWaiters(list: Waiter[]): void {
    if (this.#client !== undefined) list.push(this.#reader);
    else if (this.#listener !== undefined) list.push(this.#acceptor);
    else if (this.#connecting !== undefined || this.#reconnectAtMs !== NEVER) list.push(this.#connector);
  }

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    if (this.connected) frontend.opened();
  }

  write(buffer: PinnedBuffer, start: number, end: number): number {
    if (this.#client === undefined) return end - start;
    const result =
      this.#telnet === undefined
        ? sendSome(this.system, this.#client.number, buffer.address + start, end - start)
        : this.#telnet.send(buffer, start, end);
    if (result >= 0 || wouldBlock(result)) return result;
    this.#disconnect();
    return end - start;
  }

  /** Reads from the client. Descriptors that it passed before are closed when it passes others, as in QEMU. */
  #read(buffer: Uint8Array): number {
    if (this.#address.kind !== "unix") return readSome(this.system, this.fd, buffer);
    this.#receiver ??= new DescriptorReceiver(this.system);
    const result = this.#receiver.receive(this.fd, buffer);
    const { fds } = this.#receiver;
    if (fds.length > 0) {
      this.#closeReceived();
      this.#received.push(...fds);
    }
    return result;
  }

  takeDescriptor(): Fd | undefined {
    return this.#received.shift();
  }

  #closeReceived(): void {
    for (const fd of this.#received) fd.close();
    this.#received = [];
  }

  #accept(): void {
    if (this.#listener === undefined) return;
    const accepted = acceptSocket(this.system, this.#listener);
    if (typeof accepted !== "number") this.#serve(accepted);
  }

  #connect(): void {
    this.#reconnectAtMs = NEVER;
    try {
      this.#startConnect();
    } catch (error) {
      // A shortage of descriptors must not end a launch whose enclave runs.
      if (!(error instanceof SyscallError) || this.backend.reconnectMs === 0) throw error;
      this.#finishConnect(-error.errno);
    }
  }

  #startConnect(): void {
    const { socket, result } = connectSocket(this.system, this.#address);
    this.#connecting = socket;
    // On loopback, connect(2) returns EINPROGRESS although SO_ERROR already holds ECONNREFUSED.
    const known = isPending(result) ? connectResult(this.system, socket) || result : result;
    if (!isPending(known)) this.#finishConnect(known);
  }

  #completeConnect(): void {
    if (this.#connecting !== undefined) this.#finishConnect(connectResult(this.system, this.#connecting));
  }

  #finishConnect(result: number): void {
    const socket = this.#connecting;
    this.#connecting = undefined;
    if (result === 0 && socket !== undefined) return this.#serve(socket);
    socket?.close();
    const { reconnectMs } = this.backend;
    if (reconnectMs > 0) {
      this.#reconnectAtMs = nowMs() + reconnectMs;
      return;
    }
    const message = `Failed to connect to '${bareAddress(this.#address)}': ${errnoText(-result)}`;
    this.#failure = new UserError(addressText(this.#address), message);
  }

  #serve(socket: Fd): void {
    if (this.#address.kind === "tcp" && this.backend.nodelay) setNoDelay(this.system, socket);
    this.#client = socket;
    this.#neverConnected = false;
    if (this.backend.telnet) this.#telnet = new Telnet(this.system, socket.number);
    this.#frontend?.opened();
  }

  #disconnect(): void {
    if (this.#client === undefined) return;
    this.#client.close();
    this.#client = undefined;
    this.#telnet = undefined;
    this.#closeReceived();
    if (!this.backend.server && this.backend.reconnectMs > 0)
      this.#reconnectAtMs = nowMs() + this.backend.reconnectMs;
    this.#frontend?.closed();
  }

  [Symbol.dispose](): void {
    this.#client?.close();
    this.#client = undefined;
    this.#connecting?.close();
    this.#closeReceived();
    this.#listener?.[Symbol.dispose]();
  }
}
