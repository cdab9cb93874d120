/** The character devices of a launch by label: opened, claimed by frontends, replaced and removed. */
import { SyscallError, UserError } from "../sys/errors.ts";
import { Fd } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { logFlags } from "../sys/output-files.ts";
import { OutputLoss } from "../sys/output-loss.ts";
import type { Waiter } from "../sys/poll.ts";
import type { ReopenableFiles } from "../sys/reopenable-files.ts";
import { shellQuote } from "../sys/shell-quote.ts";
import { localAddress } from "../sys/socket/passed.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, ChardevInfo, ChardevSpec, LogFile, SocketBackend } from "./chardev.ts";
import { PassedDescriptors } from "./descriptors.ts";
import { fileChardev } from "./file.ts";
import { LogWriter } from "./log-writer.ts";
import { Mux, type MuxSetup } from "./mux.ts";
import { nullChardev } from "./null.ts";
import { pipeChardev } from "./pipe.ts";
import { ptyChardev } from "./pty.ts";
import { ReplaceableChardev } from "./replaceable.ts";
import { ringbufChardev } from "./ringbuf.ts";
import { bareAddress, SocketChardev, type SocketSource } from "./socket.ts";
import { openStdin } from "./stdin-reader.ts";
import { stdioChardev } from "./stdio.ts";

interface Entry {
  readonly device: ReplaceableChardev;
  readonly mux: Mux | undefined;
  readonly kind: ChardevSpec["backend"]["kind"];
}

/** The table of character devices. Owns the devices. */
export class ChardevTable implements Disposable {
  readonly #entries = new Map<string, Entry>();
  readonly #report: (line: string) => void;
  readonly #stdinLabels: ReadonlySet<string>;
  /** Descriptors that other programs passed. */
  readonly descriptors: PassedDescriptors;

  /** @param stdinLabels the devices whose frontend needs input; a stdio device reads standard input only for these. */
  constructor(
    private readonly system: System,
    private readonly muxSetup: MuxSetup,
    stdinLabels: readonly string[],
    private readonly logs: ReopenableFiles,
  ) {
    this.#report = muxSetup.report;
    this.#stdinLabels = new Set(stdinLabels);
    this.descriptors = new PassedDescriptors(system);
  }

  /** Opens a device. Throws UserError, which names the option as typed. */
  open(spec: ChardevSpec): void {
    const { label, mux, backend } = spec;
    if (this.#entries.has(label)) throw new UserError(spec.typed, `Duplicate ID '${label}' for chardev`);
    this.#refuseSecondStdio(spec);
    // With mux=on, QEMU gives the id to the mux and labels the device below it ID-base.
    const ownLabel = mux ? `${label}-base` : label;
    const device = this.#openBackend(
      spec,
      ownLabel,
      (backend, log) => new ReplaceableChardev(ownLabel, backend, log),
    );
    this.#entries.set(label, {
      device,
      mux: mux ? new Mux(label, device, this.muxSetup) : undefined,
      kind: backend.kind,
    });
  }

  #refuseSecondStdio({ typed, backend }: ChardevSpec): void {
    if (backend.kind !== "stdio") return;
    if (![...this.#entries.values()].some(({ kind }) => kind === "stdio")) return;
    throw new UserError(
      typed,
      "cannot use stdio by multiple character devices",
      "share it with -serial mon:stdio",
    );
  }

  /** Opens a backend and its log for `adopt`; closes them if its connection was refused at once. */
  #openBackend<T>(
    spec: ChardevSpec,
    label: string,
    adopt: (backend: Chardev, log: LogWriter | undefined) => T,
  ): T {
    try {
      using stack = new DisposableStack();
      const backend = stack.use(this.#createBackend(spec, label));
      const log = spec.log && stack.use(this.#openLog(spec.log));
      // Reading the property throws if the connection has already failed.
      void backend.awaitsConnection;
      const adopted = adopt(backend, log);
      stack.move();
      return adopted;
    } catch (error) {
      throw error instanceof SyscallError ? diagnose(error, spec) : error;
    }
  }

  #openLog(log: LogFile): LogWriter {
    const file = this.#openFile(log.path, log.append);
    const loss = new OutputLoss(() => `output to the log file ${log.path}`, this.#report);
    return new LogWriter(this.system, file, log.timestamp, loss);
  }

  /** Opens a file that a device writes to; /dev/fdset/ID is one that was passed. Throws SyscallError, UserError. */
  #openFile(path: string, append: boolean): Fd {
    return this.descriptors.openPath(path, logFlags(append)) ?? this.logs.open(path, append);
  }

  #createBackend(spec: ChardevSpec, label: string): Chardev {
    const { system } = this;
    const { backend } = spec;
    switch (backend.kind) {
      case "null":
        return nullChardev(label);
      case "file":
        return fileChardev(system, label, backend.path, this.#openFile(backend.path, backend.append));
      case "pipe":
        return pipeChardev(system, label, backend.path);
      case "ringbuf":
        return ringbufChardev(label, backend.size);
      case "socket":
        return new SocketChardev(system, label, backend, this.#socketSource(spec.typed, backend));
      case "pty": {
        const pty = ptyChardev(system, label, backend.link);
        this.#report(`char device redirected to ${pty.name} (label ${spec.label})`);
        return pty;
      }
      case "stdio": {
        if (!this.#stdinLabels.has(spec.label)) return stdioChardev(system, label);
        return stdioChardev(system, label, (frontend) => openStdin(system, frontend, backend.signal));
      }
    }
  }

  /** Finds the socket of an address that names a descriptor. Throws UserError if there is none. */
  #socketSource(typed: string, { address }: SocketBackend): SocketSource {
    if (address.kind !== "fd") return { address };
    const { fd } = address;
    const inherited = /^\d+$/.test(fd) ? new Fd(this.system, Number(fd)) : undefined;
    const passed = this.descriptors.takeNamed(fd) ?? inherited;
    if (passed === undefined) throw new UserError(typed, `File descriptor named '${fd}' has not been found`);
    const local = localAddress(this.system, passed);
    if (local === undefined) throw new UserError(typed, `File descriptor '${fd}' is not a socket`);
    return { address: local, passed };
  }

  /** Whether a device has this label. */
  has(label: string): boolean {
    return this.#entries.has(label);
  }

  /** Returns a device for one frontend; a mux accepts several. Throws UserError if it is unknown or in use. */
  claim(label: string, typed: string): Chardev {
    const entry = this.#entries.get(label);
    if (entry === undefined) throw new UserError(typed, `chardev "${label}" not found`);
    if (entry.mux !== undefined) return entry.mux.addPort();
    if (entry.device.attached) {
      throw new UserError(
        typed,
        `chardev '${label}' is already in use`,
        `share it with -chardev …,id=${label},mux=on`,
      );
    }
    return entry.device;
  }

  /** Returns all devices; a mux and the device below it are two. */
  list(): readonly ChardevInfo[] {
    return [...this.#entries].flatMap(([label, { device, mux }]) => {
      const info = {
        label: device.label,
        type: device.type,
        filename: device.filename(),
        frontendOpen: device.attached,
      };
      return mux === undefined
        ? [info]
        : [{ label, type: "chardev-mux", filename: "mux", frontendOpen: true }, info];
    });
  }

  /** Returns the device of this label, below its mux if it has one. */
  find(label: string): ReplaceableChardev | undefined {
    return this.#entries.get(label)?.device;
  }

  /** Whether a frontend uses the device or its mux. */
  isBusy(label: string): boolean {
    const { device, mux } = this.#entries.get(label) ?? {};
    return mux?.attached ?? device?.attached ?? false;
  }

  /** Whether the device is a mux, whose backend cannot be replaced. */
  isMux(label: string): boolean {
    return this.#entries.get(label)?.mux !== undefined;
  }

  /** Closes a device that no frontend uses. */
  remove(label: string): void {
    this.find(label)?.[Symbol.dispose]();
    this.#entries.delete(label);
  }

  /** Replaces the backend of an existing device. Throws UserError and keeps the old backend. */
  change(spec: ChardevSpec): void {
    const entry = this.#entries.get(spec.label);
    if (entry === undefined) return;
    if (entry.kind !== "stdio") this.#refuseSecondStdio(spec);
    this.#openBackend(spec, spec.label, (backend, log) => entry.device.replace(backend, log));
    this.#entries.set(spec.label, { ...entry, kind: spec.backend.kind });
  }

  /** Returns a device whose connection the launch has to wait for. Throws UserError if that connection has failed. */
  awaitingConnection(): ReplaceableChardev | undefined {
    return [...this.#entries.values()].find(({ device }) => device.awaitsConnection)?.device;
  }

  /** Called after SIGCONT: makes a terminal raw again. */
  processContinued(): void {
    for (const { device } of this.#entries.values()) device.processContinued();
  }

  addWaiters(list: Waiter[]): void {
    for (const { device, mux } of this.#entries.values()) (mux ?? device).addWaiters(list);
  }

  [Symbol.dispose](): void {
    for (const { device } of this.#entries.values()) device[Symbol.dispose]();
    this.#entries.clear();
    this.descriptors[Symbol.dispose]();
  }
}

function diagnose(error: SyscallError, { typed, backend, log }: ChardevSpec): UserError {
  if (backend.kind === "socket") {
    const address = bareAddress(backend.address);
    const what = backend.server ? `Failed to bind socket to ${address}` : `Failed to connect to '${address}'`;
    return new UserError(typed, `${what}: ${error.why}`);
  }
  const isFifoWithoutReader = error.errno === ERRNO.ENXIO && backend.kind === "file";
  const hint = isFifoWithoutReader
    ? `the FIFO has no reader; start one first: cat ${shellQuote(error.subject)}`
    : undefined;
  const typedNamesFile = typed.includes(error.subject) && error.subject !== log?.path;
  const why = typedNamesFile ? error.why : `Could not open '${error.subject}': ${error.why}`;
  return new UserError(typed, why, hint);
}
