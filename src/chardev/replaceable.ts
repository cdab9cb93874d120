/**
 * A character device under its label. `chardev-change` replaces the backend while a frontend uses the label, and
 * logfile=PATH records everything that is written, whether or not a client is connected.
 */

import { type Fd, writeSome } from "../sys/files.ts";
import { O_APPEND, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } from "../sys/linux/fcntl.ts";
import { openOutput } from "../sys/output-files.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import type { Waiter } from "../sys/poll.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, ChardevSpec, Frontend } from "./chardev.ts";

type Log = ChardevSpec["log"];

/** A label with the backend that currently serves it. Owns the backend. */
export class ReplaceableChardev implements Chardev {
  #log: Fd | undefined;
  #frontend: Frontend | undefined;

  /** Takes ownership of the backend. Throws SyscallError if the log file cannot be opened. */
  constructor(
    private readonly system: System,
    readonly label: string,
    private backend: Chardev,
    log: Log,
  ) {
    this.#log = this.#openLog(log);
  }

  /** Closes the backend and serves the frontend with another one. Throws SyscallError and changes nothing. */
  replace(backend: Chardev, log: Log): void {
    const newLog = this.#openLog(log);
    this.backend[Symbol.dispose]();
    this.backend = backend;
    this.#log?.close();
    this.#log = newLog;
    if (this.#frontend !== undefined) backend.attach(this.#frontend);
  }

  #openLog(log: Log): Fd | undefined {
    if (log === undefined) return undefined;
    // O_NONBLOCK: open(2) fails with ENXIO on a FIFO without a reader instead of blocking.
    const flags = O_WRONLY | O_CREAT | O_NONBLOCK | (log.append ? O_APPEND : O_TRUNC);
    return openOutput(this.system, log.path, flags, 0o666);
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
    if (written > 0) this.#writeLog(buffer, start, start + written);
    return written;
  }

  discard(buffer: PinnedBuffer, start: number, end: number): void {
    this.#writeLog(buffer, start, end);
  }

  /** A write error, such as ENOSPC, loses the bytes from the log only. */
  #writeLog(buffer: PinnedBuffer, start: number, end: number): void {
    if (this.#log !== undefined)
      writeSome(this.system, this.#log.number, buffer.address + start, end - start);
  }

  processContinued(): void {
    this.backend.processContinued?.();
  }

  readRing(maxBytes: number): Uint8Array | undefined {
    return this.backend.readRing?.(maxBytes);
  }

  [Symbol.dispose](): void {
    this.backend[Symbol.dispose]();
    this.#log?.close();
  }
}
