/**
 * Character devices and monitors of a launch, opened before anything is asked of the host and served from then on.
 * It is loaded only where they are asked for.
 */
import { version } from "../../package.json" with { type: "json" };
import type { ByteOutput } from "../chardev/byte-output.ts";
import { type Chardev, OUTPUT_ONLY } from "../chardev/chardev.ts";
import { ChardevTable } from "../chardev/table.ts";
import type { ChardevsView, MachineView, RunState } from "../monitor/machine-view.ts";
import type { MonitorMode, Monitors } from "../monitor/monitors.ts";
import { UserError } from "../sys/errors.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import { pinnedBuffer } from "../sys/pinned-buffer.ts";
import { runLoop, type Waiter } from "../sys/poll.ts";
import type { System } from "../sys/system.ts";
import type { Cancellation } from "./cancellation.ts";
import type { Measured } from "./image/measure.ts";
import type { LaunchOptions } from "./options.ts";
import type { MemorySize } from "./plan/memory.ts";
import type { RunControl } from "./run-loop.ts";

/** What is known of the machine once it is planned, and later. */
export interface Planned {
  readonly memory: MemorySize;
  readonly vcpus: number;
  readonly threadsPerCore: number;
  /** 0 where the heartbeat is not waited for. */
  readonly heartbeatTimeoutMs: number;
}

/** How the machine's end came about, in QMP's words. */
export interface Shutdown {
  /** Whether it was the enclave's own doing. */
  readonly guest: boolean;
  readonly reason: "host-signal" | "host-error" | "guest-shutdown" | "guest-panic";
}

/** The devices and monitors of one launch; it owns them. */
export class Session implements Disposable {
  readonly #table: ChardevTable;
  /** The monitors' devices, each of which has its own. */
  readonly #lines: readonly { readonly line: Chardev; readonly mode: MonitorMode }[];
  /** undefined until they are asked for. */
  #monitors: Monitors | undefined;
  #planned: Planned | undefined;
  #state: RunState = "prelaunch";
  #cid: number;
  #pcrs: Measured["pcrs"] = {};
  #cpus: readonly number[] = [];
  #quit = false;
  #control: RunControl | undefined;
  /** Where the console goes; undefined for none. */
  readonly sink: ByteOutput | undefined;

  /** Opens all of it. Throws UserError. */
  constructor(
    private readonly system: System,
    private readonly options: LaunchOptions,
    private readonly report: (line: string) => void,
  ) {
    using stack = new DisposableStack();
    const { serial, monitors, chardevs } = options;
    const readsStdin = monitors.map(({ chardev }) => chardev);
    this.#cid = Number(options.enclaveCid);
    const exit = () => this.#end();
    this.#table = stack.use(new ChardevTable(system, report, { exit }, readsStdin));
    for (const spec of chardevs) this.#table.open(spec);
    if (serial.value !== undefined) {
      const line = this.#table.claim(serial.value, serial.typed);
      line.attach(OUTPUT_ONLY);
      this.sink = line;
    }
    this.#lines = monitors.map(({ chardev, typed, ...mode }) => ({
      line: this.#table.claim(chardev, typed),
      mode,
    }));
    stack.move();
  }

  /** Whether the launch waits for somebody (wait=on). Throws UserError. */
  get awaits(): boolean {
    return this.#table.awaitingConnection() !== undefined;
  }

  /** Loads the monitors, before anybody is served; a launch that waits for nobody does so when the image is loaded. */
  async loadMonitors(): Promise<void> {
    if (this.#monitors !== undefined) return;
    const { Monitors } = await import("../monitor/monitors.ts");
    this.#monitors = new Monitors(this.#view());
    for (const { line, mode } of this.#lines) this.#monitors.add(line, mode);
  }

  /** Whether a monitor, or Ctrl-A x, has asked for the end. */
  get quit(): boolean {
    return this.#quit;
  }

  #end(): void {
    if (!this.#quit) this.#monitors?.emitEvent("SHUTDOWN", { guest: false, reason: "host-ui" });
    this.#quit = true;
  }

  /** The process was stopped, as by Ctrl-Z, and goes on. */
  resumed(): void {
    this.#table.processContinued();
  }

  /** The machine is decided upon; monitors may ask from now on. */
  plan(planned: Planned): void {
    this.#planned = planned;
  }

  /** The image is in memory, and has been measured. */
  measured(pcrs: Measured["pcrs"]): void {
    this.#pcrs = pcrs;
  }

  /** The enclave runs. */
  started(cid: number, cpus: readonly number[]): void {
    this.#state = "running";
    this.#cid = cid;
    this.#cpus = cpus;
  }

  /** Everything is prepared: from here on a monitor may start what waits. */
  attach(control: RunControl): void {
    this.#control = control;
  }

  /** Starts the enclave that -S holds back. Gives why it cannot, or undefined where it does. */
  #start(): string | undefined {
    if (this.#control?.status !== "prelaunch") {
      return "the enclave runs, and nothing has paused it: an enclave cannot be paused";
    }
    try {
      this.#control.start();
      return undefined;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.message;
    }
  }

  /** The enclave is over, or is about to be. @param stays whether the launcher stays nevertheless. */
  ended(shutdown: Shutdown, stays: boolean): void {
    this.#state = "shutdown";
    const panicked = shutdown.reason === "guest-panic";
    if (panicked) this.#monitors?.emitEvent("GUEST_PANICKED", { action: stays ? "pause" : "poweroff" });
    // QEMU stops a machine that has panicked first, and one that stays at last.
    if (panicked) this.#monitors?.emitEvent("STOP");
    this.#monitors?.emitEvent("SHUTDOWN", { ...shutdown });
    if (stays && !panicked) this.#monitors?.emitEvent("STOP");
  }

  /** Serves until everybody is there that the launch waits for (wait=on). Throws Cancelled, UserError. */
  awaitClients(stop: Cancellation): void {
    const awaited = this.#table.awaitingConnection();
    if (awaited === undefined) return;
    this.report(`waiting for connection on: ${awaited.filename()}`);
    const signals: Waiter = {
      fd: stop.signals.fd,
      events: POLLIN,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: stop.check,
      expired() {},
    };
    const list: Waiter[] = [];
    const waiters = () => {
      list.length = 0;
      list.push(signals);
      this.addWaiters(list);
      return list;
    };
    runLoop(this.system, waiters, () => this.#quit || this.#table.awaitingConnection() === undefined);
  }

  addWaiters(list: Waiter[]): void {
    this.#table.addWaiters(list);
    this.#monitors?.addWaiters(list);
  }

  #view(): MachineView {
    const { options } = this;
    const self = this;
    return {
      version,
      name: options.name,
      uuid: options.uuid,
      debugMode: options.debugMode,
      get heartbeat() {
        const timeoutSeconds = (self.#planned?.heartbeatTimeoutMs ?? 0) / 1000;
        return { policy: options.heartbeat.policy, timeoutSeconds };
      },
      image: {
        kernel: options.kernel.value,
        initrd: options.initrd?.value,
        commandLine: options.commandLine?.value,
      },
      serial: options.serial.value,
      chardevs: this.#chardevs(),
      get commandLineOptions() {
        return options.commandLineOptions();
      },
      get memory() {
        const bytes = self.#planned?.memory.bytes ?? 0;
        const { id = "ram", hostNodes = [], policy = "default" } = options.memoryBackend ?? {};
        const pageBytes = options.memoryBackend?.pageBytes ?? HUGE_PAGE_BYTES;
        const fixed = { type: "memory-backend-memfd", share: true, prealloc: true } as const;
        return { id, ...fixed, bytes, pageBytes, hostNodes, policy };
      },
      get vcpus() {
        return self.#planned?.vcpus ?? 0;
      },
      get threadsPerCore() {
        return self.#planned?.threadsPerCore ?? 1;
      },
      state: () => this.#state,
      cid: () => this.#cid,
      pcrs: () => this.#pcrs,
      cpus: () => this.#cpus,
      cpuIds: () => (this.#state === "prelaunch" ? (options.cpuIds?.value ?? []) : this.#cpus),
      quit: () => {
        this.#quit = true;
      },
      start: () => this.#start(),
    };
  }

  #chardevs(): ChardevsView {
    const table = this.#table;
    return {
      list: () => table.list(),
      has: (label) => table.has(label),
      isBusy: (label) => table.isBusy(label),
      isMux: (label) => table.isMux(label),
      parse: (text, label) => this.options.readChardev(text, "chardev", label),
      open: (spec) => table.open(spec),
      change: (spec) => table.change(spec),
      remove: (label) => table.remove(label),
      readRing: (label, maxBytes) => table.find(label)?.readRing(maxBytes),
      writeRing(label, bytes) {
        const slot = table.find(label);
        if (slot?.type !== "chardev-ringbuf") return false;
        slot.write(pinnedBuffer(bytes), 0, bytes.length);
        return true;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#monitors?.flush();
    this.#table[Symbol.dispose]();
  }
}
