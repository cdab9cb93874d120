/**
 * Character devices and monitors of a launch: opened before any resource of the host is used, served by the run loop.
 * Loaded only by launches that have them.
 */
import type { ByteOutput } from "../chardev/byte-output.ts";
import { type Chardev, OUTPUT_ONLY } from "../chardev/chardev.ts";
import { ChardevTable } from "../chardev/table.ts";
import type { Device, RunEnd } from "../devices/device.ts";
import type { MonitorMode, Monitors } from "../monitor/monitors.ts";
import { statusFlags } from "../sys/descriptor-flags.ts";
import { UserError } from "../sys/errors.ts";
import { Fd } from "../sys/files.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import { runLoop, type Waiter } from "../sys/poll.ts";
import type { LaunchContext } from "./context.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import { machineView } from "./machine-view.ts";
import type { AddedFd } from "./options.ts";

/** The character devices and monitors; it owns them. */
export class Frontends implements Device {
  readonly #table: ChardevTable;
  /** The monitors' character devices; each monitor has its own. */
  readonly #lines: readonly { readonly line: Chardev; readonly mode: MonitorMode }[];
  /** undefined until they are loaded. */
  #monitors: Monitors | undefined;
  /** Where the console goes; undefined for `-serial none`. */
  readonly console: ByteOutput | undefined;

  /** Opens the character devices. Throws UserError. */
  constructor(
    private readonly context: LaunchContext,
    private readonly run: EnclaveRun,
    private readonly heartbeatTimeoutMs: number,
  ) {
    using stack = new DisposableStack();
    const { system, options, report, logs } = context;
    const { serial, monitors, chardevs, escapeByte, addedFds } = options;
    const readsStdin = monitors.map(({ chardev }) => chardev);
    const exit = () => this.#exitRequested();
    this.#table = stack.use(new ChardevTable(system, { escapeByte, exit, report }, readsStdin, logs));
    for (const added of addedFds) this.#addDescriptor(added);
    for (const spec of chardevs) this.#table.open(spec);
    if (serial.value !== undefined) {
      const line = this.#table.claim(serial.value, serial.typed);
      line.attach(OUTPUT_ONLY);
      this.console = line;
    }
    this.#lines = monitors.map(({ chardev, typed, ...mode }) => ({
      line: this.#table.claim(chardev, typed),
      mode,
    }));
    stack.move();
  }

  /** -add-fd. Throws UserError. */
  #addDescriptor({ fd, set, opaque, typed }: AddedFd): void {
    const { system } = this.context;
    if (statusFlags(system, fd) < 0) throw new UserError(typed, "fd is not valid or already in use");
    this.#table.descriptors.addToSet(new Fd(system, fd), set, opaque);
  }

  /** Waits for the clients of sockets with wait=on; monitors serve meanwhile. Throws UserError, Cancelled. */
  async realize(): Promise<void> {
    const awaited = this.#table.awaitingConnection();
    if (awaited === undefined) return;
    await this.loadForRun();
    this.context.report(`waiting for connection on: ${awaited.filename()}`);
    const { system, cancellation } = this.context;
    const signals: Waiter = {
      fd: cancellation.signals.fd,
      events: POLLIN,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: cancellation.check,
      expired() {},
    };
    const waiters = () => {
      const list = [signals];
      this.addWaiters(list);
      return list;
    };
    const isDone = () => this.run.quitRequested || this.#table.awaitingConnection() === undefined;
    runLoop(system, waiters, isDone);
  }

  /** Loads the monitors. Before the start this would cost 4 % of a launch with a monitor. */
  async loadForRun(): Promise<void> {
    if (this.#monitors !== undefined) return;
    const { Monitors } = await import("../monitor/monitors.ts");
    const view = machineView(this.context.options, this.run, this.#table, this.heartbeatTimeoutMs);
    this.#monitors = new Monitors(view);
    for (const { line, mode } of this.#lines) this.#monitors.add(line, mode);
  }

  /** Ctrl-A x was typed. */
  #exitRequested(): void {
    if (!this.run.quitRequested) {
      this.#monitors?.emitEvent("SHUTDOWN", { guest: false, reason: "host-ui" });
    }
    this.run.quitRequested = true;
  }

  /** SIGCONT: the process was stopped, as by Ctrl-Z, and runs again. */
  processContinued(): void {
    this.#table.processContinued();
  }

  runEnded({ guest, reason, launcherStays }: RunEnd): void {
    const panicked = reason === "guest-panic";
    if (panicked) {
      this.#monitors?.emitEvent("GUEST_PANICKED", { action: launcherStays ? "pause" : "poweroff" });
    }
    // QEMU emits STOP before SHUTDOWN for a panic, and after it for a machine that stays.
    if (panicked) this.#monitors?.emitEvent("STOP");
    this.#monitors?.emitEvent("SHUTDOWN", { guest, reason });
    if (launcherStays && !panicked) this.#monitors?.emitEvent("STOP");
  }

  addWaiters(list: Waiter[]): void {
    this.#table.addWaiters(list);
    this.#monitors?.addWaiters(list);
  }

  [Symbol.dispose](): void {
    this.#monitors?.flush();
    this.#table[Symbol.dispose]();
  }
}
