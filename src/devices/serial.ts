/**
 * The enclave's debug console. In debug mode the hypervisor (CID 0) listens on port 10000 + the enclave's CID and sends
 * what the enclave writes to its serial port, from the first line on; it carries nothing the other way. It may take
 * a moment after the start until it accepts, and it ends with the enclave.
 *
 * Nothing is lost however slow the receiver is: while it takes nothing, nothing is read, and the bytes wait in the
 * socket and in the hypervisor. Only a receiver that need not read (a client on a socket) is not waited for longer than
 * its patience: what comes then is not written to it until it takes some again. One buffer serves the whole run; a turn
 * allocates nothing.
 */
import type { Sink } from "../chardev/sink.ts";
import { type Block, blockOf } from "../sys/block.ts";
import { errnoText, SyscallError } from "../sys/failure.ts";
import { type Fd, readSome } from "../sys/files.ts";
import { POLLIN, POLLOUT } from "../sys/linux/poll.ts";
import { VMADDR_CID_HYPERVISOR } from "../sys/linux/vm_sockets.ts";
import { nowMs, type Waiter } from "../sys/poll.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import { connectResult, connectVsock, isUnderWay } from "../sys/vsock.ts";

const CONSOLE_PORT_BASE = 10_000;
const BUFFER_BYTES = 256 * 1024;
/** Turns of reading and writing before other descriptors are looked at again. */
const BURST = 8;
/** Waits between tries to connect double from the first to the last, until patience is over. */
const FIRST_RETRY_MS = 5;
const LAST_RETRY_MS = 320;
const PATIENCE_MS = 5_000;
/** After the enclave's end, a console that neither sends nor ends is left after this. */
const DRAIN_SILENCE_MS = 1_000;
/** How much of the console's end is kept for telling how the enclave ended. */
const TAIL_BYTES = 8 * 1024;

/** What the machine gives the console to work with. */
export interface SerialSetup {
  readonly system: System;
  readonly tell: (line: string) => void;
  /** Opened before the start; owned by the machine. */
  readonly sink: Sink;
}

const NEVER = Number.POSITIVE_INFINITY;

type State = "connecting" | "retrying" | "reading" | "done";

/** The console from the start of the enclave on. It is one waiter: for its socket, or for its receiver. */
export class SerialConsole implements Waiter, Disposable {
  #state: State = "retrying";
  #socket: Fd | undefined;
  #deadlineMs = nowMs();
  #retryMs = FIRST_RETRY_MS;
  #giveUpMs = nowMs() + PATIENCE_MS;
  #enclaveEnded = false;
  #receiverLost = false;
  #heldFrom = 0;
  #heldTo = 0;
  #delivered = 0;
  /** The buffer, and behind it the tail, so that a turn copies within one array and makes no view. */
  readonly #all = new Uint8Array(BUFFER_BYTES + TAIL_BYTES);
  readonly #buffer = this.#all.subarray(0, BUFFER_BYTES);
  readonly #block: Block = blockOf(this.#all);
  /** Until when a receiver that takes nothing is waited for. */
  #patienceEndsMs = NEVER;
  /** The receiver has not taken anything for too long. */
  #stalled = false;
  #tailLength = 0;

  /** @param cid the enclave's CID; the connection is begun at once. */
  constructor(
    private readonly setup: SerialSetup,
    private readonly cid: number,
  ) {
    this.#connect();
  }

  get fd(): number {
    if (this.#isHolding) return this.setup.sink.fd;
    return this.#socket?.number ?? -1;
  }

  get events(): number {
    return this.#isHolding || this.#state === "connecting" ? POLLOUT : POLLIN;
  }

  get deadlineMs(): number {
    return this.#isHolding ? this.#patienceEndsMs : this.#deadlineMs;
  }

  /** Whether everything has been delivered and no more will come. */
  get done(): boolean {
    return this.#state === "done" && !this.#isHolding;
  }

  /** The last bytes that the enclave wrote, at most 8 KiB, as text. */
  tail(): string {
    return new TextDecoder().decode(this.#all.subarray(this.#all.length - this.#tailLength));
  }

  get #isHolding(): boolean {
    return this.#heldTo > this.#heldFrom;
  }

  ready(): void {
    if (this.#state === "connecting") return this.#connected();
    for (let turn = 0; turn < BURST; turn++) {
      if (this.#isHolding && !this.#deliver()) return;
      if (this.#state !== "reading" || !this.#receive()) return;
    }
  }

  expired(): void {
    if (this.#isHolding) return this.#giveUp();
    if (this.#state === "retrying") return this.#connect();
    if (this.#state === "done") return;
    this.setup.system.trace.vsock?.("console: silent after the enclave's end");
    this.#finish();
  }

  /** The enclave is over: what is still under way is delivered, then the console is done. */
  enclaveEnded(): void {
    this.#enclaveEnded = true;
    if (this.#state === "reading" || this.#state === "connecting")
      this.#deadlineMs = nowMs() + DRAIN_SILENCE_MS;
    else if (this.#state === "retrying") this.#finish();
  }

  /** The launcher is asked to stop: hands over what can be handed over without waiting. */
  flush(): void {
    if (this.#state !== "connecting") this.ready();
  }

  #connect(): void {
    try {
      const { socket, result } = connectVsock(
        this.setup.system,
        VMADDR_CID_HYPERVISOR,
        CONSOLE_PORT_BASE + this.cid,
      );
      this.#socket = socket;
      if (isUnderWay(result)) {
        this.#state = "connecting";
        this.#deadlineMs = NEVER;
      } else this.#settle(result);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.#cannotBeHad(error.message);
    }
  }

  #connected(): void {
    if (this.#socket !== undefined) this.#settle(connectResult(this.setup.system, this.#socket));
  }

  #settle(result: number): void {
    const port = CONSOLE_PORT_BASE + this.cid;
    if (result === 0) {
      this.setup.system.trace.vsock?.(`console: connected to CID 0 port ${port}`);
      this.#state = "reading";
      this.#deadlineMs = this.#enclaveEnded ? nowMs() + DRAIN_SILENCE_MS : NEVER;
      return;
    }
    this.setup.system.trace.vsock?.(`console: CID 0 port ${port}: ${errnoText(-result)}`);
    this.#close();
    if (this.#enclaveEnded) return this.#finish();
    if (nowMs() >= this.#giveUpMs) return this.#cannotBeHad(`CID 0 port ${port}: ${errnoText(-result)}`);
    this.#state = "retrying";
    this.#deadlineMs = nowMs() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }

  #cannotBeHad(why: string): void {
    this.setup.tell(`console: cannot be had (${why}); the enclave lives on without it`);
    this.#finish();
  }

  /** Reads once; false when there is nothing more to read now. */
  #receive(): boolean {
    if (this.#socket === undefined) return false;
    const got = readSome(this.setup.system, this.#socket.number, this.#buffer);
    if (wouldBlock(got)) return false;
    if (got <= 0) {
      this.setup.system.trace.vsock?.(
        `console: ${got === 0 ? "ended" : errnoText(-got)} after ${this.#delivered} bytes`,
      );
      if (!this.#enclaveEnded && got < 0)
        this.setup.tell(`console: lost (${errnoText(-got)}); the enclave lives on`);
      this.#finish();
      return false;
    }
    if (this.#enclaveEnded) this.#deadlineMs = nowMs() + DRAIN_SILENCE_MS;
    this.#keepTail(got);
    if (this.#receiverLost) return true;
    this.#heldFrom = 0;
    this.#heldTo = got;
    return this.#deliver();
  }

  /** Writes what is held; false while some of it is still held. */
  #deliver(): boolean {
    const { sink, system, tell } = this.setup;
    while (this.#isHolding) {
      const put = sink.write(this.#block, this.#heldFrom, this.#heldTo);
      if (wouldBlock(put)) return this.#wait(sink);
      if (put < 0) {
        tell(
          `console: ${sink.name}: ${errnoText(-put)}; the enclave lives on, its console is no longer kept`,
        );
        system.trace.vsock?.(`console: receiver lost after ${this.#delivered} bytes`);
        this.#receiverLost = true;
        this.#heldFrom = this.#heldTo;
        return true;
      }
      this.#heldFrom += put;
      this.#delivered += put;
      this.#patienceEndsMs = NEVER;
      this.#stalled = false;
    }
    return true;
  }

  /** The receiver takes nothing now: it is waited for, but not for long where it has stalled before. */
  #wait(sink: Sink): boolean {
    if (this.#stalled) {
      this.#skip(sink);
      return true;
    }
    if (this.#patienceEndsMs === NEVER) this.#patienceEndsMs = nowMs() + sink.patienceMs;
    return false;
  }

  #giveUp(): void {
    const { sink, tell } = this.setup;
    if (!this.#deliver() && this.#isHolding) {
      tell(
        `console: ${sink.name}: its reader takes nothing; it is not waited for, and misses what comes meanwhile`,
      );
      this.#stalled = true;
      this.#skip(sink);
    }
  }

  #skip(sink: Sink): void {
    sink.skip?.(this.#block, this.#heldFrom, this.#heldTo);
    this.#heldFrom = this.#heldTo;
    this.#patienceEndsMs = NEVER;
  }

  #keepTail(got: number): void {
    const fresh = Math.min(got, TAIL_BYTES);
    this.#all.copyWithin(BUFFER_BYTES, BUFFER_BYTES + fresh);
    this.#all.copyWithin(this.#all.length - fresh, got - fresh, got);
    this.#tailLength = Math.min(this.#tailLength + fresh, TAIL_BYTES);
  }

  #finish(): void {
    this.#close();
    this.#state = "done";
    this.#deadlineMs = NEVER;
  }

  #close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.#finish();
  }
}
