/**
 * A character device: bytes out that never wait (it is a Sink), bytes in as far as its frontend has room for them, and
 * news of somebody coming and going. What it is, is one file for each kind; who uses it is one frontend at most.
 */

import type { Waiter } from "../sys/poll.ts";
import type { SocketAddress } from "../sys/socket/address.ts";
import type { Sink } from "./sink.ts";

/** Who uses a character device: a monitor, the console, a part of a mux. */
export interface Frontend {
  /** How many bytes it can take now; with 0 they wait where they are. */
  room(): number;
  /** Takes bytes, as many as it had room for; they are its own only during the call. */
  receive(bytes: Uint8Array): void;
  /** Somebody is there. */
  opened(): void;
  /** Nobody is there any more. */
  closed(): void;
  /** On a mux: keys come here again, or go elsewhere for a while. */
  focus?(on: boolean): void;
}

/** A character device. */
export interface Chardev extends Sink {
  /** Its id, or QEMU's name for it: serial0, compat_monitor0. */
  readonly label: string;
  /** The kind in the object tree: chardev-socket. */
  readonly type: string;
  /** What `info chardev` tells of it. */
  filename(): string;
  /** Whether somebody is there. */
  readonly connected: boolean;
  /** The descriptors and deadlines by which it works, added to the list of a turn. */
  addWaiters(list: Waiter[]): void;
  /** Gives it to a frontend, which is told at once if somebody is there. */
  attach(frontend: Frontend): void;
  /** Whether a frontend has it. */
  readonly attached: boolean;
  /** Whether the launch waits for somebody to be there. Throws UserError when nobody can come any more. */
  readonly awaited?: boolean;
  /** The process was stopped and goes on: a terminal is made raw again. */
  resumed?(): void;
  /** What was kept, for ring buffers only: takes at most `most` bytes. */
  take?(most: number): Uint8Array | undefined;
}

/** The kinds, with all that can be said about each; sizes are in bytes. */
export type Backend =
  | { readonly kind: "null" }
  | { readonly kind: "stdio"; readonly signal: boolean }
  | { readonly kind: "file"; readonly path: string; readonly append: boolean }
  | { readonly kind: "pipe"; readonly path: string }
  | { readonly kind: "pty"; readonly link: string | undefined }
  | { readonly kind: "ringbuf"; readonly size: number }
  | SocketBackend;

/** A unix or tcp socket, listening or connecting. */
export interface SocketBackend {
  readonly kind: "socket";
  readonly address: SocketAddress;
  readonly server: boolean;
  /** A server's launch waits for its first client. */
  readonly wait: boolean;
  readonly telnet: boolean;
  readonly nodelay: boolean;
  /** A client that was lost connects again after so many milliseconds; 0 for never. */
  readonly reconnectMs: number;
}

/** A character device as it is asked for. */
export interface ChardevSpec {
  readonly label: string;
  /** The option as it was typed, for messages. */
  readonly typed: string;
  readonly backend: Backend;
  /** Several frontends share it, Ctrl-A c switches between them. */
  readonly mux: boolean;
  readonly log: { readonly path: string; readonly append: boolean } | undefined;
}

/** What is told about a device. */
export interface ChardevInfo {
  readonly label: string;
  readonly type: string;
  readonly filename: string;
  readonly frontendOpen: boolean;
}

/** A frontend that takes nothing that comes in, as an enclave's console does. */
export const DEAF: Frontend = { room: () => 4096, receive() {}, opened() {}, closed() {} };
