/**
 * `-chardev socket`: a unix or tcp socket that listens (server=on) or connects. One client at a time; further ones wait
 * in the kernel until it has gone. While nobody is there what is written is lost, as on a line without a listener.
 */

import { errnoText, UserError } from "../sys/errors.ts";
import type { Fd } from "../sys/files.ts";
import { POLLIN, POLLOUT } from "../sys/linux/poll.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import { nowMs, type Waiter } from "../sys/poll.ts";
import { addressText, type SocketAddress } from "../sys/socket/address.ts";
import {
  acceptSocket,
  connectSocket,
  type Listener,
  listenSocket,
  sendAtOnce,
} from "../sys/socket/stream.ts";
import { connectResult, isUnderWay, sendSome } from "../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import type { Chardev, Frontend, SocketBackend } from "./chardev.ts";
import { fdReader } from "./fd-reader.ts";
import { Telnet } from "./telnet.ts";

const NEVER = Number.POSITIVE_INFINITY;
const PATIENCE_MS = 1000;

/** An address as QEMU writes it in what went wrong: a path, or HOST:PORT. */
export function bareAddress(address: SocketAddress): string {
  return address.kind === "unix" ? address.path : addressText(address).slice("tcp:".length);
}

/** A socket as a character device. */
export class SocketChardev implements Chardev {
  readonly type = "chardev-socket";
  readonly writeTimeoutMs = PATIENCE_MS;
  #frontend: Frontend | undefined;
  #listener: Listener | undefined;
  #client: Fd | undefined;
  #connecting: Fd | undefined;
  #retryMs = NEVER;
  #neverConnected = true;
  #failure: UserError | undefined;
  #telnet: Telnet | undefined;
  readonly #reading: Waiter;
  readonly #listening: Waiter;
  readonly #arriving: Waiter;

  /** Listens, or begins to connect. Throws SyscallError and UserError. */
  constructor(
    private readonly system: System,
    readonly label: string,
    private readonly backend: SocketBackend,
  ) {
    const self = this;
    this.#reading = fdReader(system, {
      get fd() {
        return self.fd;
      },
      get frontend() {
        return self.#input;
      },
      onEnd: () => this.#lost(),
    });
    const waiter = (fd: () => number, events: number, ready: () => void, deadline = () => NEVER): Waiter => ({
      get fd() {
        return fd();
      },
      events,
      get deadlineMs() {
        return deadline();
      },
      ready,
      expired: () => this.#connect(),
    });
    this.#listening = waiter(
      () => (this.#client === undefined ? (this.#listener?.fd ?? -1) : -1),
      POLLIN,
      () => this.#accept(),
    );
    this.#arriving = waiter(
      () => this.#connecting?.number ?? -1,
      POLLOUT,
      () => this.#arrived(),
      () => this.#retryMs,
    );
    if (backend.server) this.#listener = listenSocket(system, backend.address);
    else this.#connect();
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

  get #address(): SocketAddress {
    return this.#listener?.address ?? this.backend.address;
  }

  /** What comes in goes through telnet's commands first, where it is telnet. */
  get #input(): Frontend | undefined {
    return this.#telnet?.over(this.#frontend) ?? this.#frontend;
  }

  filename(): string {
    const { server, telnet } = this.backend;
    const address = addressText(this.#address);
    const spelled = telnet ? address.replace(/^tcp/, "telnet") : address;
    return `${this.connected ? "" : "disconnected:"}${spelled}${server ? ",server=on" : ""}`;
  }

  /** A server with wait=on has had no client yet, or a connection without reconnect is under way. Throws UserError. */
  get awaitsConnection(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#neverConnected && (this.backend.server ? this.backend.wait : this.backend.reconnectMs === 0);
  }

  addWaiters(list: Waiter[]): void {
    if (this.#client !== undefined) list.push(this.#reading);
    else if (this.#listener !== undefined) list.push(this.#listening);
    else if (this.#connecting !== undefined || this.#retryMs !== NEVER) list.push(this.#arriving);
  }

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    if (this.connected) frontend.opened();
  }

  write(block: PinnedBuffer, start: number, end: number): number {
    if (this.#client === undefined) return end - start;
    const fd = this.#client.number;
    const put =
      this.#telnet === undefined
        ? sendSome(this.system, fd, block.address + start, end - start)
        : this.#telnet.send(block, start, end);
    if (put >= 0 || wouldBlock(put)) return put;
    this.#lost();
    return end - start;
  }

  #accept(): void {
    if (this.#listener === undefined) return;
    const incoming = acceptSocket(this.system, this.#listener);
    if (typeof incoming !== "number") this.#welcome(incoming);
  }

  #connect(): void {
    this.#retryMs = NEVER;
    const { socket, result } = connectSocket(this.system, this.backend.address);
    this.#connecting = socket;
    // A port of this machine's own where nobody listens is known at once, though connect(2) does not say so yet.
    const known = isUnderWay(result) ? connectResult(this.system, socket) || result : result;
    if (!isUnderWay(known)) this.#settle(known);
  }

  #arrived(): void {
    if (this.#connecting !== undefined) this.#settle(connectResult(this.system, this.#connecting));
  }

  #settle(result: number): void {
    const socket = this.#connecting;
    this.#connecting = undefined;
    if (result === 0 && socket !== undefined) return this.#welcome(socket);
    socket?.close();
    if (this.backend.reconnectMs > 0) this.#retryMs = nowMs() + this.backend.reconnectMs;
    else
      this.#failure = new UserError(
        addressText(this.backend.address),
        `Failed to connect to '${bareAddress(this.backend.address)}': ${errnoText(-result)}`,
      );
  }

  #welcome(socket: Fd): void {
    if (this.backend.address.kind === "tcp" && this.backend.nodelay) sendAtOnce(this.system, socket);
    this.#client = socket;
    this.#neverConnected = false;
    if (this.backend.telnet) this.#telnet = new Telnet(this.system, socket.number);
    this.#frontend?.opened();
  }

  #lost(): void {
    if (this.#client === undefined) return;
    this.#client.close();
    this.#client = undefined;
    this.#telnet = undefined;
    if (!this.backend.server && this.backend.reconnectMs > 0)
      this.#retryMs = nowMs() + this.backend.reconnectMs;
    this.#frontend?.closed();
  }

  [Symbol.dispose](): void {
    this.#client?.close();
    this.#client = undefined;
    this.#connecting?.close();
    this.#listener?.[Symbol.dispose]();
  }
}
