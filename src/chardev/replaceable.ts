/**
 * A character device under its label. `chardev-change` replaces the backend while a frontend uses the label, and
 * logfile=PATH records everything that is written, whether or not a client is connected.
 */

import type { Fd } from "../sys/files.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import type { Waiter } from "../sys/poll.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import type { LogWriter } from "./log-writer.ts";

/** A label with the backend that currently serves it. Owns the backend. */
export class ReplaceableChardev implements Chardev {
  #frontend: Frontend | undefined;

  /** Takes ownership of the backend and of the log. */
  constructor(
    readonly label: string,
    private backend: Chardev,
    private log: LogWriter | undefined,
  ) {}

  /** Closes the backend and serves the frontend with another one. */
  replace(backend: Chardev, log: LogWriter | undefined): void {
    this.backend[Symbol.dispose]();
    this.backend = backend;
    this.log?.[Symbol.dispose]();
    this.log = log;
    if (this.#frontend !== undefined) backend.attach(this.#frontend);
  }

  get type(): string {
    return this.backend.type;
  }

  get name(): string {
    return this.backend.name;
  }

  get fd(): number {
    return this.backend.fd;
  }

  get writeTimeoutMs(): number {
    return this.backend.writeTimeoutMs;
  }

  get connected(): boolean {
    return this.backend.connected;
  }

  get attached(): boolean {
    return this.#frontend !== undefined;
  }

  get awaitsConnection(): boolean {
    return this.backend.awaitsConnection ?? false;
  }

  filename(): string {
    return this.backend.filename();
  }

  addWaiters(list: Waiter[]): void {
    this.backend.addWaiters(list);
  }

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    this.backend.attach(frontend);
  }

  write(buffer: PinnedBuffer, start: number, end: number): number {
    const written = this.backend.write(buffer, start, end);
    if (written > 0) this.log?.write(buffer, start, start + written);
    return written;
  }

  discard(buffer: PinnedBuffer, start: number, end: number): void {
    this.log?.write(buffer, start, end);
  }

  processContinued(): void {
    this.backend.processContinued?.();
  }

  takeDescriptor(): Fd | undefined {
    return this.backend.takeDescriptor?.();
  }

  readRing(maxBytes: number): Uint8Array | undefined {
    return this.backend.readRing?.(maxBytes);
  }

  [Symbol.dispose](): void {
    this.backend[Symbol.dispose]();
    this.log?.[Symbol.dispose]();
  }
}
