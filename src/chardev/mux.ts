/**
 * Shares one character device between several frontends (mux=on). Output of every frontend goes to the device; input
 * goes to the frontend that has the focus. Ctrl-A, or the key of -echr, starts one of the mux's own commands, as in
 * QEMU's chardev/char-mux.c.
 */
import type { Fd } from "../sys/files.ts";
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import { nowMs, type Waiter } from "../sys/poll.ts";
import type { Chardev, Frontend } from "./chardev.ts";
import { helpText, keyToPress } from "./mux-keys.ts";

const CTRL_A = 1;
const CTRL_C = 3;
const LINE_FEED = 10;
/** How much input a port keeps while its frontend cannot receive. */
const MAX_QUEUED_BYTES = 4096;

const ENCODER = new TextEncoder();

/** What a mux is created with. */
export interface MuxSetup {
  /** The byte that starts a command; Ctrl-A if undefined. */
  readonly escapeByte: number | undefined;
  /** Ctrl-A x: terminates the enclave. */
  exit(): void;
  /** Prints one line to standard error. */
  readonly report: (line: string) => void;
}

/** The mux over a device. Owns the device. */
export class Mux implements Disposable {
  readonly #ports: MuxPort[] = [];
  #focus = 0;
  #escaped = false;
  #explainedInterrupt = false;
  /** When Ctrl-A t turned timestamps on; undefined while they are off. */
  #timestampsSinceMs: number | undefined;
  #atLineStart = false;
  /** The timestamp being written; it may take several writes. */
  readonly #timestamp: PinnedBuffer = pinnedBuffer(new Uint8Array(32));
  #timestampLength = 0;
  #timestampWritten = 0;

  constructor(
    readonly label: string,
    readonly base: Chardev,
    private readonly setup: MuxSetup,
  ) {
    base.attach({
      canReceive: () => MAX_QUEUED_BYTES,
      receive: (bytes) => this.#receive(bytes),
      opened: () => this.#focused?.open(),
      closed: () => {
        this.#escaped = false;
        for (const port of this.#ports) port.close();
      },
    });
  }

  get #escapeByte(): number {
    return this.setup.escapeByte ?? CTRL_A;
  }

  /** Adds a port for one more frontend. The first port has the focus. */
  addPort(): Chardev {
    const port = new MuxPort(this, this.#ports.length);
    this.#ports.push(port);
    return port;
  }

  /** Whether the mux has a frontend. */
  get attached(): boolean {
    return this.#ports.length > 0;
  }

  hasFocus(index: number): boolean {
    return index === this.#focus;
  }

  get #focused(): MuxPort | undefined {
    return this.#ports[this.#focus];
  }

  /** Writes to the device; with timestamps on, at most one line, after its timestamp. */
  write(buffer: PinnedBuffer, start: number, end: number): number {
    if (this.#timestampsSinceMs === undefined) return this.base.write(buffer, start, end);
    if (this.#atLineStart) {
      const failed = this.#writeTimestamp(this.#timestampsSinceMs);
      if (failed < 0) return failed;
    }
    const lineFeed = buffer.bytes.indexOf(LINE_FEED, start);
    const lineEnd = lineFeed === -1 || lineFeed >= end ? end : lineFeed + 1;
    const written = this.base.write(buffer, start, lineEnd);
    if (written > 0) this.#atLineStart = buffer.bytes[start + written - 1] === LINE_FEED;
    return written;
  }

  /** Returns 0 once the whole timestamp is written, otherwise the negative errno. */
  #writeTimestamp(sinceMs: number): number {
    if (this.#timestampLength === 0) {
      const text = formatTimestamp(nowMs() - sinceMs);
      this.#timestampLength = ENCODER.encodeInto(text, this.#timestamp.bytes).written;
    }
    while (this.#timestampWritten < this.#timestampLength) {
      const written = this.base.write(this.#timestamp, this.#timestampWritten, this.#timestampLength);
      if (written < 0) return written;
      this.#timestampWritten += written;
    }
    this.#timestampLength = 0;
    this.#timestampWritten = 0;
    this.#atLineStart = false;
    return 0;
  }

  /** Prints the mux's own text. What does not fit without blocking is dropped. */
  #print(text: string): void {
    const buffer = pinnedBuffer(ENCODER.encode(text));
    this.base.write(buffer, 0, buffer.bytes.length);
  }

  #receive(bytes: Uint8Array): void {
    let from = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      if (this.#escaped) {
        this.#escaped = false;
        from = i + 1;
        this.#runCommand(byte);
      } else if (byte === this.#escapeByte) {
        this.#focused?.input(bytes.subarray(from, i));
        this.#escaped = true;
        from = i + 1;
      } else if (byte === CTRL_C) this.#explainInterrupt();
    }
    if (!this.#escaped) this.#focused?.input(bytes.subarray(from));
  }

  /**
   * On the user's terminal Ctrl-C is a key like any other, as in QEMU; no frontend acts on it. A user who expects it to
   * stop the enclave learns once how to do that.
   */
  #explainInterrupt(): void {
    if (this.#explainedInterrupt || this.base.type !== "chardev-stdio") return;
    this.#explainedInterrupt = true;
    this.setup.report(`Ctrl-C does not stop the enclave; ${keyToPress(this.#escapeByte)} x quits`);
  }

  #runCommand(byte: number): void {
    switch (String.fromCharCode(byte)) {
      case "h":
      case "?":
        return this.#print(`\n\r${helpText(this.#escapeByte)}`);
      case "x":
        this.#print("QEMU: Terminated\n\r");
        return this.setup.exit();
      case "c":
        return this.#moveFocus();
      case "t":
        this.#timestampsSinceMs = this.#timestampsSinceMs === undefined ? nowMs() : undefined;
        this.#atLineStart = true;
        return;
    }
    if (byte === this.#escapeByte) this.#focused?.input(Uint8Array.of(byte));
    // s (save disk data) and b (send a break) have nothing to act on in an enclave; they are accepted and ignored.
  }

  /** Adds the device's waiters, and passes queued input to frontends that can receive again. */
  addWaiters(list: Waiter[]): void {
    this.base.addWaiters(list);
    for (const port of this.#ports) port.deliver();
  }

  #moveFocus(): void {
    if (this.#ports.length < 2) return;
    this.#focused?.setFocus(false);
    this.#focus = (this.#focus + 1) % this.#ports.length;
    this.#focused?.setFocus(true);
  }

  [Symbol.dispose](): void {
    this.base[Symbol.dispose]();
  }
}

/** Formats as `[HH:MM:SS.mmm] `. */
function formatTimestamp(ms: number): string {
  const digits = (value: number, count: number) => String(Math.floor(value)).padStart(count, "0");
  const seconds = ms / 1000;
  const time = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((value) => digits(value, 2)).join(":");
  return `[${time}.${digits(ms % 1000, 3)}] `;
}

/** The mux as one of its frontends sees it. */
class MuxPort implements Chardev {
  readonly type = "chardev-mux";
  #frontend: Frontend | undefined;
  #isOpen = false;
  #queued = new Uint8Array(0);

  constructor(
    private readonly mux: Mux,
    private readonly index: number,
  ) {}

  get label(): string {
    return this.mux.label;
  }

  get name(): string {
    return this.mux.base.name;
  }

  get fd(): number {
    return this.mux.base.fd;
  }

  get writeTimeoutMs(): number {
    return this.mux.base.writeTimeoutMs;
  }

  get connected(): boolean {
    return this.mux.base.connected;
  }

  get attached(): boolean {
    return this.#frontend !== undefined;
  }

  filename(): string {
    return "mux";
  }

  write(buffer: PinnedBuffer, start: number, end: number): number {
    return this.mux.write(buffer, start, end);
  }

  discard(buffer: PinnedBuffer, start: number, end: number): void {
    this.mux.base.discard?.(buffer, start, end);
  }

  /** The mux adds the waiters of the device that all ports share. */
  addWaiters(): void {}

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    if (this.mux.hasFocus(this.index) && this.connected) this.open();
  }

  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#frontend?.opened();
  }

  close(): void {
    if (this.#isOpen) this.#frontend?.closed();
    this.#isOpen = false;
    this.#queued = new Uint8Array(0);
  }

  takeDescriptor(): Fd | undefined {
    return this.mux.base.takeDescriptor?.();
  }

  setFocus(focused: boolean): void {
    if (focused && !this.#isOpen) this.open();
    else this.#frontend?.focusChanged?.(focused);
  }

  /** Queues input and passes on what the frontend can receive. Input beyond the queue's limit is dropped. */
  input(bytes: Uint8Array): void {
    if (this.#frontend === undefined || !this.#isOpen || bytes.length === 0) return;
    const accepted = bytes.subarray(0, MAX_QUEUED_BYTES - this.#queued.length);
    this.#queued = Uint8Array.from([...this.#queued, ...accepted]);
    this.deliver();
  }

  deliver(): void {
    while (this.#queued.length > 0) {
      const chunk = this.#queued.subarray(0, this.#frontend?.canReceive() ?? 0);
      if (chunk.length === 0) return;
      this.#queued = this.#queued.subarray(chunk.length);
      this.#frontend?.receive(chunk);
    }
  }

  [Symbol.dispose](): void {}
}
