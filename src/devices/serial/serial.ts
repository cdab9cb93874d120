/**
 * The enclave's debug console. In debug mode the hypervisor (CID 0) listens on port 10000 + the enclave's CID and sends
 * what the enclave writes to its serial port, from the first line on; it carries nothing the other way. It may take
 * a moment after the start until it accepts, and it ends with the enclave.
 *
 * Nothing is lost however slow the receiver is: while it takes nothing, nothing is read, and the bytes wait in the
 * socket and in the hypervisor. Only a receiver that need not read (a client on a socket) is not waited for longer than
 * its patience: what comes then is not written to it until it takes some again. One buffer serves the whole run; a turn
 * allocates nothing.
 *
 * Once the enclave is over, the rest of its console is read into memory though its receiver takes nothing: the
 * enclave's CPUs and memory are given back when the hypervisor has no more of it, and nobody keeps them by not reading.
 */
import type { ByteOutput } from "../../chardev/byte-output.ts";
import { errnoText, SyscallError } from "../../sys/errors.ts";
import { type Fd, readSome } from "../../sys/files.ts";
import { POLLIN, POLLOUT } from "../../sys/linux/poll.ts";
import { VMADDR_CID_HYPERVISOR } from "../../sys/linux/vm_sockets.ts";
import { nowMs, type Waiter, waiter } from "../../sys/poll.ts";
import { connectResult, connectVsock, isUnderWay } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import { ConsoleBuffer } from "./console-buffer.ts";

const CONSOLE_PORT_BASE = 10_000;
/** Turns of reading and writing before other descriptors are looked at again. */
const BURST = 8;
/** Waits between tries to connect double from the first to the last, until patience is over. */
const FIRST_RETRY_MS = 5;
const LAST_RETRY_MS = 320;
const PATIENCE_MS = 5_000;
/** After the enclave's end, a console that neither sends nor ends is left after this. */
const DRAIN_SILENCE_MS = 1_000;

/** What the machine gives the console to work with. */
export interface SerialSetup {
  readonly system: System;
  readonly report: (line: string) => void;
  /** Opened before the start; owned by the machine. */
  readonly sink: ByteOutput;
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
  #delivered = 0;
  readonly #held = new ConsoleBuffer();
  /** Until when a receiver that takes nothing is waited for. */
  #patienceEndsMs = NEVER;
  /** The receiver has not taken anything for too long. */
  #stalled = false;
  /** The socket of an enclave that is over, while the receiver is waited for; else -1. */
  readonly #rest: Waiter;

  /** @param cid the enclave's CID; the connection is begun at once. */
  constructor(
    private readonly setup: SerialSetup,
    private readonly cid: number,
  ) {
    this.#rest = waiter(
      () => (this.#readsRest ? (this.#socket?.number ?? -1) : -1),
      POLLIN,
      () => this.#readRest(),
      { deadlineMs: () => (this.#readsRest ? this.#deadlineMs : NEVER), expired: () => this.#fallSilent() },
    );
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

  addWaiters(list: Waiter[]): void {
    list.push(this);
    if (this.#enclaveEnded) list.push(this.#rest);
  }

  /** Whether no more will come from the hypervisor; what has come may still be on its way to the receiver. */
  get exhausted(): boolean {
    return this.#state === "done";
  }

  /** Whether everything has been delivered and no more will come. */
  get done(): boolean {
    return this.exhausted && !this.#isHolding;
  }

  /** The last bytes that the enclave wrote, at most 8 KiB, as text. */
  tail(): string {
    return this.#held.tail();
  }

  get #isHolding(): boolean {
    return this.#held.isHolding;
  }

  get #readsRest(): boolean {
    return this.#state === "reading" && this.#isHolding && this.#held.hasRoomForRest;
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
    if (this.#state !== "done") this.#fallSilent();
  }

  #fallSilent(): void {
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
    this.setup.report(`console: cannot be had (${why}); the enclave lives on without it`);
    this.#finish();
  }

  /** Reads once and delivers; false when there is nothing more to read now, or the receiver takes nothing. */
  #receive(): boolean {
    if (!this.#readOnce()) return false;
    if (!this.#receiverLost) return this.#deliver();
    this.#held.drop();
    return true;
  }

  /** Reads on behind what is held for a receiver that takes nothing. */
  #readRest(): void {
    if (this.#readsRest) this.#held.growForRest();
    for (let turn = 0; turn < BURST && this.#readsRest; turn++) if (!this.#readOnce()) return;
  }

  #readOnce(): boolean {
    if (this.#socket === undefined) return false;
    const got = readSome(this.setup.system, this.#socket.number, this.#held.room());
    if (wouldBlock(got)) return false;
    if (got <= 0) {
      const bytes = this.#delivered + this.#held.to - this.#held.from;
      this.setup.system.trace.vsock?.(
        `console: ${got === 0 ? "ended" : errnoText(-got)} after ${bytes} bytes`,
      );
      if (!this.#enclaveEnded && got < 0)
        this.setup.report(`console: lost (${errnoText(-got)}); the enclave lives on`);
      this.#finish();
      return false;
    }
    this.#restartSilence();
    this.#held.filled(got);
    return true;
  }

  /** Silence begins anew where something has come, or where there is room again for what may be waiting. */
  #restartSilence(): void {
    if (this.#enclaveEnded && this.#state === "reading") this.#deadlineMs = nowMs() + DRAIN_SILENCE_MS;
  }

  /** Writes what is held; false while some of it is still held. */
  #deliver(): boolean {
    const { sink, system, report } = this.setup;
    while (this.#isHolding) {
      const put = sink.write(this.#held.block, this.#held.from, this.#held.to);
      if (wouldBlock(put)) return this.#wait(sink);
      if (put < 0) {
        const lost = this.#enclaveEnded
          ? "the rest of its console is lost"
          : "the enclave lives on, its console is no longer kept";
        report(`console: ${sink.name}: ${errnoText(-put)}; ${lost}`);
        system.trace.vsock?.(`console: receiver lost after ${this.#delivered} bytes`);
        this.#receiverLost = true;
        this.#held.drop();
        return true;
      }
      this.#held.from += put;
      this.#delivered += put;
      this.#restartSilence();
      this.#patienceEndsMs = NEVER;
      this.#stalled = false;
    }
    return true;
  }

  /** The receiver takes nothing now: it is waited for, but not for long where it has stalled before. */
  #wait(sink: ByteOutput): boolean {
    if (this.#stalled) {
      this.#skip(sink);
      return true;
    }
    if (this.#patienceEndsMs === NEVER) this.#patienceEndsMs = nowMs() + sink.writeTimeoutMs;
    return false;
  }

  #giveUp(): void {
    const { sink, report } = this.setup;
    if (!this.#deliver() && this.#isHolding) {
      report(
        `console: ${sink.name}: its reader takes nothing; it is not waited for, and misses what comes meanwhile`,
      );
      this.#stalled = true;
      this.#skip(sink);
    }
  }

  #skip(sink: ByteOutput): void {
    sink.discard?.(this.#held.block, this.#held.from, this.#held.to);
    this.#held.drop();
    this.#patienceEndsMs = NEVER;
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
