/**
 * The character device interface: a backend (`Chardev`) and the frontend that uses it, as in QEMU's chardev/char.c.
 * Writes never block; input is read only as far as the frontend can receive it.
 */

import type { Fd } from "../sys/files.ts";
import type { Waiter } from "../sys/poll.ts";
import type { SocketAddress } from "../sys/socket/address.ts";
import type { ByteOutput } from "./byte-output.ts";

/** The user of a character device: the console, a monitor or a mux. */
export interface Frontend {
  /** Returns how many bytes the frontend can receive now; at 0 the backend leaves input unread. */
  canReceive(): number;
  /** Processes at most `canReceive()` bytes. The array is valid during the call only. */
  receive(bytes: Uint8Array): void;
  /** CHR_EVENT_OPENED: the backend is connected. */
  opened(): void;
  /** CHR_EVENT_CLOSED: the backend has lost its connection. */
  closed(): void;
  /** CHR_EVENT_MUX_IN and CHR_EVENT_MUX_OUT: the frontend gained or lost the mux's focus. */
  focusChanged?(focused: boolean): void;
}

/** A character device backend. */
export interface Chardev extends ByteOutput {
  /** The id, or the label QEMU gives a device without one: serial0, compat_monitor0. */
  readonly label: string;
  /** The QOM type: chardev-socket. */
  readonly type: string;
  /** Returns the description that `info chardev` prints. */
  filename(): string;
  /** Whether the other end is connected. */
  readonly connected: boolean;
  /** Appends the waiters for the device's descriptors and deadlines. */
  addWaiters(list: Waiter[]): void;
  /** Sets the frontend; calls its `opened` at once if the device is connected. */
  attach(frontend: Frontend): void;
  /** Whether a frontend is attached. */
  readonly attached: boolean;
  /** Whether the launch has to wait for a connection (wait=on). Throws UserError if the connection has failed. */
  readonly awaitsConnection?: boolean;
  /** Called after SIGCONT: makes a terminal raw again. */
  processContinued?(): void;
  /** UNIX sockets only: returns a descriptor that the client passed (SCM_RIGHTS); the caller owns it. */
  takeDescriptor?(): Fd | undefined;
  /** Ring buffers only: consumes and returns at most `maxBytes` stored bytes. */
  readRing?(maxBytes: number): Uint8Array | undefined;
}

/** A backend's options, by kind. Sizes are in bytes. */
export type Backend =
  | { readonly kind: "null" }
  | { readonly kind: "stdio"; readonly signal: boolean }
  | { readonly kind: "file"; readonly path: string; readonly append: boolean }
  | { readonly kind: "pipe"; readonly path: string }
  | { readonly kind: "pty"; readonly link: string | undefined }
  | { readonly kind: "ringbuf"; readonly size: number }
  | SocketBackend;

/** The options of a UNIX or TCP socket. */
export interface SocketBackend {
  readonly kind: "socket";
  readonly address: SocketAddress | PassedSocket;
  readonly server: boolean;
  /** With server=on: the launch waits for the first client. */
  readonly wait: boolean;
  readonly telnet: boolean;
  readonly nodelay: boolean;
  /** The delay before a lost client connection is re-established, in milliseconds; 0 to not reconnect. */
  readonly reconnectMs: number;
}

/** A socket that another program opened: the number of an inherited descriptor, or the name that getfd gave it. */
export interface PassedSocket {
  readonly kind: "fd";
  readonly fd: string;
}

/** A character device as requested by an option or a monitor command. */
export interface ChardevSpec {
  readonly label: string;
  /** The option as typed, for messages. */
  readonly typed: string;
  readonly backend: Backend;
  /** Whether several frontends share the device (mux=on). */
  readonly mux: boolean;
  readonly log: LogFile | undefined;
}

/** logfile=, logappend= and logtimestamp= of a character device. */
export interface LogFile {
  readonly path: string;
  readonly append: boolean;
  /** Whether each line begins with the time. */
  readonly timestamp: boolean;
}

/** A character device as `query-chardev` describes it. */
export interface ChardevInfo {
  readonly label: string;
  readonly type: string;
  readonly filename: string;
  readonly frontendOpen: boolean;
}

/** A frontend that discards input. The enclave's console uses it, because its vsock connection is one-way. */
export const OUTPUT_ONLY: Frontend = { canReceive: () => 4096, receive() {}, opened() {}, closed() {} };
