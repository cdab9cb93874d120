/**
 * The enclave's debug console. In debug mode the hypervisor (CID 0) listens on vsock port 10000 + the enclave's CID and
 * sends what the enclave writes to its serial port, from the first line on; nothing goes the other way. It accepts a
 * moment after the start, and closes the connection after the enclave's exit.
 *
 * No output is lost, however slow the receiver is: while the receiver does not accept bytes, none are read, and they
 * wait in the socket and in the hypervisor. There are two exceptions. A client on a socket need not read at all: after
 * a time-out its bytes are dropped until it reads again. A write may fail, as on a full disk: its bytes are dropped,
 * and the next ones are tried again.
 *
 * After the enclave's exit the rest of its console is read into memory even if the receiver does not accept it: the
 * enclave's CPUs and memory can be released as soon as the hypervisor holds no more output.
 */
import type { ByteOutput } from "../../chardev/byte-output.ts";
import { errnoText, SyscallError } from "../../sys/errors.ts";
import { type Fd, readSome } from "../../sys/files.ts";
import { POLLIN, POLLOUT } from "../../sys/linux/poll.ts";
import { VMADDR_CID_HYPERVISOR } from "../../sys/linux/vm_sockets.ts";
import { OutputLoss } from "../../sys/output-loss.ts";
import { nowMs, type Waiter, waiter } from "../../sys/poll.ts";
import { connectResult, connectVsock, isPending } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import type { Device, ExitEvidence } from "../device.ts";
import { ConsoleBuffer } from "./console-buffer.ts";

const CONSOLE_PORT_BASE = 10_000;
/** Reads and writes before the run loop polls the other descriptors again. */
const MAX_BURST = 8;
/** The delay before the next connection attempt doubles from the first to the last value. */
const FIRST_RETRY_MS = 5;
const LAST_RETRY_MS = 320;
const CONNECT_TIMEOUT_MS = 5_000;
/** After the enclave's exit, a console that has been silent for this long has ended. */
const DRAIN_SILENCE_MS = 1_000;

/** What the console is created from. */
export interface SerialSetup {
  readonly system: System;
  readonly report: (line: string) => void;
  /** Where the console goes; the caller owns it. */
  readonly output: ByteOutput;
}

const NEVER = Number.POSITIVE_INFINITY;

type State = "unstarted" | "retrying" | "connecting" | "reading" | "done";

/** The console as a device. It is one waiter: for its socket while nothing is buffered, otherwise for its receiver. */
export class SerialConsole implements Device, Waiter {
  #state: State = "unstarted";
  #port = 0;
  #socket: Fd | undefined;
  #deadlineMs = NEVER;
  #retryMs = FIRST_RETRY_MS;
  #connectDeadlineMs = NEVER;
  #enclaveExited = false;
  #unreachable = false;
  #receivedBytes = 0;
  readonly #buffer = new ConsoleBuffer();
  readonly #loss: OutputLoss;
  /** When bytes for a receiver that does not accept them are dropped. */
  #writeDeadlineMs = NEVER;
  /** The receiver has missed its last deadline. */
  #stalled = false;
  /** Reads the rest after the enclave's exit while nitro waits for the receiver; its descriptor is -1 otherwise. */
  readonly #drain: Waiter;

  constructor(private readonly setup: SerialSetup) {
    this.#loss = new OutputLoss(() => `console output to ${setup.output.name}`, setup.report);
    this.#drain = waiter(
      () => (this.#isDraining() ? (this.#socket?.number ?? -1) : -1),
      POLLIN,
      () => this.#drainSome(),
      { deadlineMs: () => (this.#isDraining() ? this.#deadlineMs : NEVER), expired: () => this.#silent() },
    );
  }

  /** Starts to connect. */
  enclaveStarted(cid: number): void {
    this.#port = CONSOLE_PORT_BASE + cid;
    this.#connectDeadlineMs = nowMs() + CONNECT_TIMEOUT_MS;
    this.#connect();
  }

  get fd(): number {
    if (this.#buffer.isHolding) return this.setup.output.fd;
    return this.#socket?.number ?? -1;
  }

  get events(): number {
    return this.#buffer.isHolding || this.#state === "connecting" ? POLLOUT : POLLIN;
  }

  get deadlineMs(): number {
    return this.#buffer.isHolding ? this.#writeDeadlineMs : this.#deadlineMs;
  }

  addWaiters(list: Waiter[]): void {
    if (this.#state !== "unstarted") list.push(this);
    if (this.#enclaveExited) list.push(this.#drain);
  }

  get isReceiving(): boolean {
    return this.#state !== "done" && this.#state !== "unstarted";
  }

  get isDelivering(): boolean {
    return this.isReceiving || this.#buffer.isHolding;
  }

  exitEvidence(): ExitEvidence {
    return this.#unreachable ? {} : { consoleTail: this.#buffer.tail() };
  }

  #isDraining(): boolean {
    return this.#state === "reading" && this.#buffer.isHolding && this.#buffer.canDrain;
  }

  ready(): void {
    if (this.#state === "connecting") return this.#connectFinished();
    for (let turn = 0; turn < MAX_BURST; turn++) {
      if (this.#buffer.isHolding && !this.#deliver()) return;
      if (this.#state !== "reading" || !this.#readOnce() || !this.#deliver()) return;
    }
  }

  expired(): void {
    if (this.#buffer.isHolding) return this.#writeTimedOut();
    if (this.#state === "retrying") return this.#connect();
    if (this.#state !== "done") this.#silent();
  }

  #silent(): void {
    this.setup.system.trace.vsock?.("console: silent after the enclave's exit");
    this.#finish();
  }

  enclaveExited(): void {
    this.#enclaveExited = true;
    if (this.#state === "reading" || this.#state === "connecting") {
      this.#deadlineMs = nowMs() + DRAIN_SILENCE_MS;
    } else if (this.#state === "retrying") this.#finish();
  }

  flush(): void {
    if (this.#state !== "connecting") this.ready();
    this.#loss.ended();
  }

  #connect(): void {
    try {
      const { socket, result } = connectVsock(this.setup.system, VMADDR_CID_HYPERVISOR, this.#port);
      this.#socket = socket;
      if (isPending(result)) {
        this.#state = "connecting";
        this.#deadlineMs = NEVER;
      } else this.#connectReturned(result);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.#cannotConnect(error.message);
    }
  }

  #connectFinished(): void {
    if (this.#socket !== undefined) this.#connectReturned(connectResult(this.setup.system, this.#socket));
  }

  #connectReturned(result: number): void {
    const { trace } = this.setup.system;
    if (result === 0) {
      trace.vsock?.(`console: connected to CID 0 port ${this.#port}`);
      this.#state = "reading";
      this.#deadlineMs = this.#enclaveExited ? nowMs() + DRAIN_SILENCE_MS : NEVER;
      return;
    }
    trace.vsock?.(`console: CID 0 port ${this.#port}: ${errnoText(-result)}`);
    this.#close();
    if (this.#enclaveExited) return this.#finish();
    if (nowMs() >= this.#connectDeadlineMs) {
      return this.#cannotConnect(`CID 0 port ${this.#port}: ${errnoText(-result)}`);
    }
    this.#state = "retrying";
    this.#deadlineMs = nowMs() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #cannotConnect(why: string): void {
    this.#unreachable = true;
    this.setup.report(`console: cannot connect (${why}); the enclave keeps running`);
    this.#finish();
  }

  /** Reads on behind the bytes that the receiver does not accept. */
  #drainSome(): void {
    if (this.#isDraining()) this.#buffer.growForRest();
    for (let turn = 0; turn < MAX_BURST && this.#isDraining(); turn++) if (!this.#readOnce()) return;
  }

  /** Returns false if there is nothing to read now. */
  #readOnce(): boolean {
    if (this.#socket === undefined) return false;
    const { system, report } = this.setup;
    const got = readSome(system, this.#socket.number, this.#buffer.freeSpace());
    if (wouldBlock(got)) return false;
    if (got <= 0) {
      const ending = got === 0 ? "closed" : errnoText(-got);
      system.trace.vsock?.(`console: ${ending} after ${this.#receivedBytes} bytes`);
      if (!this.#enclaveExited && got < 0) {
        report(`console: connection lost (${errnoText(-got)}); the enclave keeps running`);
      }
      this.#finish();
      return false;
    }
    this.#restartSilence();
    this.#receivedBytes += got;
    this.#buffer.filled(got);
    return true;
  }

  /** The silence restarts after each read, and after each write, which makes room to read. */
  #restartSilence(): void {
    if (this.#enclaveExited && this.#state === "reading") this.#deadlineMs = nowMs() + DRAIN_SILENCE_MS;
  }

  /** Writes the buffered bytes. Returns false if some remain. */
  #deliver(): boolean {
    const { output } = this.setup;
    while (this.#buffer.isHolding) {
      const written = output.write(this.#buffer.pinned, this.#buffer.from, this.#buffer.to);
      if (wouldBlock(written)) return this.#outputBlocked();
      if (written < 0) {
        this.#outputFailed(-written);
        return true;
      }
      this.#buffer.from += written;
      this.#restartSilence();
      this.#writeDeadlineMs = NEVER;
      this.#stalled = false;
    }
    this.#loss.worked();
    this.#endIfDone();
    return true;
  }

  /** Drops what the receiver did not accept. The console is read on: its last bytes show how the enclave exited. */
  #outputFailed(errno: number): void {
    this.#loss.failed(errno, this.#buffer.to - this.#buffer.from);
    this.#discard();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (!this.isDelivering) this.#loss.ended();
  }

  /** Waits for the receiver, but drops the bytes at once if it stalled before. Returns whether they were dropped. */
  #outputBlocked(): boolean {
    if (this.#stalled) {
      this.#discard();
      return true;
    }
    if (this.#writeDeadlineMs === NEVER) this.#writeDeadlineMs = nowMs() + this.setup.output.writeTimeoutMs;
    return false;
  }

  #writeTimedOut(): void {
    const { output, report } = this.setup;
    if (this.#deliver() || !this.#buffer.isHolding) return;
    report(`console: ${output.name}: the client does not read; output is dropped until it does`);
    this.#stalled = true;
    this.#discard();
  }

  #discard(): void {
    this.setup.output.discard?.(this.#buffer.pinned, this.#buffer.from, this.#buffer.to);
    this.#buffer.drop();
    this.#writeDeadlineMs = NEVER;
  }

  #finish(): void {
    this.#close();
    this.#state = "done";
    this.#deadlineMs = NEVER;
    this.#endIfDone();
  }

  #close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.#finish();
    this.#loss.ended();
  }
}
