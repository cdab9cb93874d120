/**
 * One character device for several frontends: what they write goes out as it comes, what comes in goes to the one that
 * has the focus. Ctrl-A begins a command of the mux's own.
 */
import { type PinnedBuffer, pinnedBuffer } from "../sys/pinned-buffer.ts";
import { nowMs, type Waiter } from "../sys/poll.ts";
import type { Chardev, Frontend } from "./chardev.ts";

const CTRL_A = 1;
const LINE_FEED = 10;
/** What is typed at a frontend that takes nothing is kept up to this. */
const MOST_HELD_BYTES = 4096;

const HELP =
  "\n\rC-a h    print this help" +
  "\n\rC-a x    exit emulator" +
  "\n\rC-a s    save disk data back to file (if -snapshot)" +
  "\n\rC-a t    toggle console timestamps" +
  "\n\rC-a b    send break (magic sysrq)" +
  "\n\rC-a c    switch between console and monitor" +
  "\n\rC-a C-a  sends C-a\n\r";

const ENCODER = new TextEncoder();

/** What the mux's own commands do to the machine. */
export interface MuxActions {
  /** Ctrl-A x. */
  exit(): void;
}

/** The mux over a device, which it owns. */
export class Mux implements Disposable {
  readonly #ports: Port[] = [];
  #focus = 0;
  #escaped = false;
  #timestampsFromMs: number | undefined;
  #atLineStart = false;
  /** One for all lines: the time before each is written here. */
  readonly #prefix: PinnedBuffer = pinnedBuffer(new Uint8Array(32));
  #prefixLength = 0;
  #prefixDone = 0;

  constructor(
    readonly label: string,
    readonly base: Chardev,
    private readonly actions: MuxActions,
  ) {
    base.attach({
      canReceive: () => MOST_HELD_BYTES,
      receive: (bytes) => this.#receive(bytes),
      opened: () => this.#ports[this.#focus]?.open(),
      closed: () => {
        this.#escaped = false;
        for (const port of this.#ports) port.close();
      },
    });
  }

  /** A place for one more frontend; the first one has the focus. */
  port(): Chardev {
    const port = new Port(this, this.#ports.length);
    this.#ports.push(port);
    return port;
  }

  /** Whether a frontend has a part of it. */
  get attached(): boolean {
    return this.#ports.length > 0;
  }

  /** Whether this port's frontend gets what is typed. */
  hasFocus(index: number): boolean {
    return index === this.#focus;
  }

  /** Writes for a port, with the time before each line where that is asked for. */
  write(block: PinnedBuffer, start: number, end: number): number {
    if (this.#timestampsFromMs === undefined) return this.base.write(block, start, end);
    if (this.#atLineStart) {
      const failed = this.#writePrefix(this.#timestampsFromMs);
      if (failed < 0) return failed;
    }
    const feed = block.bytes.indexOf(LINE_FEED, start);
    const until = feed === -1 || feed >= end ? end : feed + 1;
    const put = this.base.write(block, start, until);
    if (put > 0) this.#atLineStart = block.bytes[start + put - 1] === LINE_FEED;
    return put;
  }

  #writePrefix(fromMs: number): number {
    if (this.#prefixLength === 0) {
      this.#prefixLength = ENCODER.encodeInto(clock(nowMs() - fromMs), this.#prefix.bytes).written;
    }
    while (this.#prefixDone < this.#prefixLength) {
      const put = this.base.write(this.#prefix, this.#prefixDone, this.#prefixLength);
      if (put < 0) return put;
      this.#prefixDone += put;
    }
    this.#prefixLength = 0;
    this.#prefixDone = 0;
    this.#atLineStart = false;
    return 0;
  }

  /** Text of the mux's own; what does not fit at once is left out. */
  #say(text: string): void {
    const block = pinnedBuffer(new TextEncoder().encode(text));
    this.base.write(block, 0, block.bytes.length);
  }

  #receive(bytes: Uint8Array): void {
    let from = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      if (this.#escaped) {
        this.#escaped = false;
        from = i + 1;
        this.#command(byte);
      } else if (byte === CTRL_A) {
        this.#ports[this.#focus]?.typed(bytes.subarray(from, i));
        this.#escaped = true;
        from = i + 1;
      }
    }
    if (!this.#escaped) this.#ports[this.#focus]?.typed(bytes.subarray(from));
  }

  #command(byte: number): void {
    switch (String.fromCharCode(byte)) {
      case "h":
      case "?":
        return this.#say(`\n\r${HELP}`);
      case "x":
        this.#say("QEMU: Terminated\n\r");
        return this.actions.exit();
      case "c":
        return this.#switch();
      case "t":
        this.#timestampsFromMs = this.#timestampsFromMs === undefined ? nowMs() : undefined;
        this.#atLineStart = true;
        return;
      case "\x01":
        this.#ports[this.#focus]?.typed(Uint8Array.of(CTRL_A));
    }
    // s has no disk to save and b no line to break: both are taken and nothing comes of them.
  }

  /** The device's own waiters; ports hand over what their frontends have room for by now. */
  addWaiters(list: Waiter[]): void {
    this.base.addWaiters(list);
    for (const port of this.#ports) port.addWaiters();
  }

  #switch(): void {
    if (this.#ports.length < 2) return;
    this.#ports[this.#focus]?.focusChanged(false);
    this.#focus = (this.#focus + 1) % this.#ports.length;
    this.#ports[this.#focus]?.focusChanged(true);
  }

  [Symbol.dispose](): void {
    this.base[Symbol.dispose]();
  }
}

/** `[00:00:01.234] `, from the moment on when it was asked for. */
function clock(ms: number): string {
  const part = (value: number, digits: number) => String(Math.floor(value)).padStart(digits, "0");
  const seconds = ms / 1000;
  return `[${part(seconds / 3600, 2)}:${part((seconds / 60) % 60, 2)}:${part(seconds % 60, 2)}.${part(ms % 1000, 3)}] `;
}

/** A mux as one of its frontends sees it. */
class Port implements Chardev {
  readonly type = "chardev-mux";
  #frontend: Frontend | undefined;
  #isOpen = false;
  #held = new Uint8Array(0);

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

  write(block: PinnedBuffer, start: number, end: number): number {
    return this.mux.write(block, start, end);
  }

  discard(block: PinnedBuffer, start: number, end: number): void {
    this.mux.base.discard?.(block, start, end);
  }

  addWaiters(): void {
    this.#handOver();
  }

  attach(frontend: Frontend): void {
    this.#frontend = frontend;
    if (this.mux.hasFocus(this.index) && this.connected) this.open();
  }

  /** Somebody is there and types here. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#frontend?.opened();
  }

  close(): void {
    if (this.#isOpen) this.#frontend?.closed();
    this.#isOpen = false;
    this.#held = new Uint8Array(0);
  }

  focusChanged(on: boolean): void {
    if (on && !this.#isOpen) this.open();
    else this.#frontend?.focusChanged?.(on);
  }

  typed(bytes: Uint8Array): void {
    if (this.#frontend === undefined || !this.#isOpen || bytes.length === 0) return;
    const room = MOST_HELD_BYTES - this.#held.length;
    this.#held = Uint8Array.from([...this.#held, ...bytes.subarray(0, room)]);
    this.#handOver();
  }

  #handOver(): void {
    while (this.#held.length > 0) {
      const some = this.#held.subarray(0, this.#frontend?.canReceive() ?? 0);
      if (some.length === 0) return;
      this.#held = this.#held.subarray(some.length);
      this.#frontend?.receive(some);
    }
  }

  [Symbol.dispose](): void {}
}
