/**
 * A character device under its label: what is behind the label can be exchanged while a frontend uses it, and what is
 * written is also copied to a file with logfile=PATH, whoever is there or not.
 */

import { type Fd, writeSome } from "../sys/files.ts";
import { O_APPEND, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } from "../sys/linux/fcntl.ts";
import { openOutput } from "../sys/output-files.ts";
import type { PinnedBuffer } from "../sys/pinned-buffer.ts";
import type { Waiter } from "../sys/poll.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, ChardevSpec, Frontend } from "./chardev.ts";

type Log = ChardevSpec["log"];

/** A label and what is behind it. */
export class ReplaceableChardev implements Chardev {
  #log: Fd | undefined;
  #frontend: Frontend | undefined;

  /** Owns the device. Throws SyscallError where the log cannot be had. */
  constructor(
    private readonly system: System,
    readonly label: string,
    private device: Chardev,
    log: Log,
  ) {
    this.#log = this.#openLog(log);
  }

  /** Puts another device in place of this one, which is closed. Throws SyscallError, and this one stays. */
  replace(device: Chardev, log: Log): void {
    const opened = this.#openLog(log);
    this.device[Symbol.dispose]();
    this.device = device;
    this.#log?.close();
    this.#log = opened;
    if (this.#frontend !== undefined) device.attach(this.#frontend);
  }

  #openLog(log: Log): Fd | undefined {
    if (log === undefined) return undefined;
    // A FIFO without a reader is ENXIO rather than a wait.
    const flags = O_WRONLY | O_CREAT | O_NONBLOCK | (log.append ? O_APPEND : O_TRUNC);
    return openOutput(this.system, log.path, flags, 0o666);
  }

  get type(): string {
    return this.device.type;
  }

  get name(): string {
    return this.device.name;
  }

  get fd(): number {
    return this.device.fd;
  }

  get writeTimeoutMs(): number {
    return this.device.writeTimeoutMs;
  }

  get connected(): boolean {
    return this.device.connected;
  }

  get attached(): boolean {
    return this.#frontend !== undefined;
  }

  get awaitsConnection(): boolean {
    return this.device.awaitsConnection ?? false;
  }

  filename(): string {
    return this.device.filename();
  }

  addWaiters(list: Waiter[]): void {
    this.device.addWaiters(list);
  }

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    this.device.attach(frontend);
  }

  write(block: PinnedBuffer, start: number, end: number): number {
    const put = this.device.write(block, start, end);
    if (put > 0) this.discard(block, start, start + put);
    return put;
  }

  /** A file never makes wait; what it does not take (a full disk) is lost from the log alone. */
  discard(block: PinnedBuffer, start: number, end: number): void {
    if (this.#log !== undefined) writeSome(this.system, this.#log.number, block.address + start, end - start);
  }

  processContinued(): void {
    this.device.processContinued?.();
  }

  /** What a ring buffer has kept; undefined for what is none. */
  readRing(most: number): Uint8Array | undefined {
    return this.device.readRing?.(most);
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
    this.#log?.close();
  }
}
