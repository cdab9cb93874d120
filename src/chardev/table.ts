/** All character devices of a launch by their labels: opened, used by one frontend each, exchanged, removed. */
import { SyscallError, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { Waiter } from "../sys/poll.ts";
import type { System } from "../sys/system.ts";
import type { Chardev, ChardevInfo, ChardevSpec } from "./chardev.ts";
import { fileChardev } from "./file.ts";
import { Mux, type MuxActions } from "./mux.ts";
import { nullChardev } from "./null.ts";
import { pipeChardev } from "./pipe.ts";
import { ptyChardev } from "./pty.ts";
import { ReplaceableChardev } from "./replaceable.ts";
import { ringbufChardev } from "./ringbuf.ts";
import { bareAddress, SocketChardev } from "./socket.ts";
import { keyboard } from "./stdin-reader.ts";
import { stdioChardev } from "./stdio.ts";

interface Entry {
  readonly slot: ReplaceableChardev;
  readonly mux: Mux | undefined;
  readonly kind: ChardevSpec["backend"]["kind"];
}

/** The table; it owns the devices. */
export class ChardevTable implements Disposable {
  readonly #entries = new Map<string, Entry>();
  /** Labels of devices on stdio that somebody types at; of the others standard input is not read. */
  readonly #readsStdin: ReadonlySet<string>;

  constructor(
    private readonly system: System,
    private readonly report: (line: string) => void,
    private readonly actions: MuxActions,
    readsStdin: readonly string[],
  ) {
    this.#readsStdin = new Set(readsStdin);
  }

  /** Opens a device. Throws UserError, naming the option as it was typed. */
  open(spec: ChardevSpec): void {
    const { label, mux, backend } = spec;
    if (this.#entries.has(label)) throw new UserError(spec.typed, `Duplicate ID '${label}' for chardev`);
    this.#keepStdioAlone(spec);
    const slot = this.#slot(spec, mux ? `${label}-base` : label);
    const shared = mux ? new Mux(label, slot, this.actions) : undefined;
    this.#entries.set(label, { slot, mux: shared, kind: backend.kind });
  }

  #keepStdioAlone({ typed, backend }: ChardevSpec): void {
    if (backend.kind !== "stdio") return;
    for (const { kind } of this.#entries.values()) {
      if (kind !== "stdio") continue;
      throw new UserError(
        typed,
        "cannot use stdio by multiple character devices",
        "-serial mon:stdio shares it",
      );
    }
  }

  #slot(spec: ChardevSpec, label: string): ReplaceableChardev {
    return this.#placed(
      spec,
      label,
      (device) => new ReplaceableChardev(this.system, label, device, spec.log),
    );
  }

  /** Opens a device and puts it where it belongs; it is closed where that fails, or where nobody can be there. */
  #placed<T>(spec: ChardevSpec, label: string, place: (device: Chardev) => T): T {
    try {
      const device = this.#opened(spec, label);
      try {
        // Throws where a connection has been refused at once.
        void device.awaitsConnection;
        return place(device);
      } catch (error) {
        device[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      throw error instanceof SyscallError ? diagnosed(error, spec) : error;
    }
  }

  #opened(spec: ChardevSpec, label: string): Chardev {
    const { system } = this;
    const { backend } = spec;
    switch (backend.kind) {
      case "null":
        return nullChardev(label);
      case "file":
        return fileChardev(system, label, backend.path, backend.append);
      case "pipe":
        return pipeChardev(system, label, backend.path);
      case "ringbuf":
        return ringbufChardev(label, backend.size);
      case "socket":
        return new SocketChardev(system, label, backend);
      case "pty": {
        const pty = ptyChardev(system, label, backend.link);
        this.report(`char device redirected to ${pty.name} (label ${spec.label})`);
        return pty;
      }
      case "stdio": {
        if (!this.#readsStdin.has(spec.label)) return stdioChardev(system, label);
        return stdioChardev(system, label, (frontend) => keyboard(system, frontend, backend.signal));
      }
    }
  }

  /** Whether there is a device of that label. */
  has(label: string): boolean {
    return this.#entries.has(label);
  }

  /** A device for one frontend; a mux has room for several. Throws UserError where it is taken. */
  claim(label: string, typed: string): Chardev {
    const entry = this.#entries.get(label);
    if (entry === undefined) throw new UserError(typed, `chardev "${label}" not found`);
    if (entry.mux !== undefined) return entry.mux.port();
    if (entry.slot.attached) {
      throw new UserError(
        typed,
        `chardev '${label}' is already in use`,
        `-chardev …,id=${label},mux=on shares it`,
      );
    }
    return entry.slot;
  }

  /** Every device, a mux and its base apart. */
  list(): readonly ChardevInfo[] {
    return [...this.#entries].flatMap(([label, { slot, mux }]) => {
      const of = {
        label: slot.label,
        type: slot.type,
        filename: slot.filename(),
        frontendOpen: slot.attached,
      };
      return mux === undefined
        ? [of]
        : [{ label, type: "chardev-mux", filename: "mux", frontendOpen: true }, of];
    });
  }

  /** The slot of a label; undefined where there is none. */
  find(label: string): ReplaceableChardev | undefined {
    return this.#entries.get(label)?.slot;
  }

  /** Whether a frontend, or a mux, uses it. */
  isBusy(label: string): boolean {
    const { slot, mux } = this.#entries.get(label) ?? {};
    return mux?.attached ?? slot?.attached ?? false;
  }

  /** Whether it is shared by a mux, so that it cannot be exchanged. */
  isMux(label: string): boolean {
    return this.#entries.get(label)?.mux !== undefined;
  }

  /** Closes a device that nobody uses. */
  remove(label: string): void {
    this.find(label)?.[Symbol.dispose]();
    this.#entries.delete(label);
  }

  /** Puts another device behind a label. Throws UserError, and the old one stays. */
  change(spec: ChardevSpec): void {
    const entry = this.#entries.get(spec.label);
    if (entry === undefined) return;
    if (entry.kind !== "stdio") this.#keepStdioAlone(spec);
    this.#placed(spec, spec.label, (device) => entry.slot.replace(device, spec.log));
    this.#entries.set(spec.label, { ...entry, kind: spec.backend.kind });
  }

  /** Whether the launch has to wait for a client. Throws UserError where none can come. */
  awaitingConnection(): ReplaceableChardev | undefined {
    for (const { slot } of this.#entries.values()) if (slot.awaitsConnection) return slot;
    return undefined;
  }

  /** The process was stopped and goes on. */
  processContinued(): void {
    for (const { slot } of this.#entries.values()) slot.processContinued();
  }

  addWaiters(list: Waiter[]): void {
    for (const { slot, mux } of this.#entries.values()) (mux ?? slot).addWaiters(list);
  }

  [Symbol.dispose](): void {
    for (const { slot } of this.#entries.values()) slot[Symbol.dispose]();
    this.#entries.clear();
  }
}

function diagnosed(error: SyscallError, spec: ChardevSpec): UserError {
  const hint =
    error.errno === ERRNO.ENXIO && spec.backend.kind === "file"
      ? "nobody reads this FIFO: start its reader first"
      : undefined;
  const { backend } = spec;
  if (backend.kind === "socket") {
    const at = bareAddress(backend.address);
    const what = backend.server ? `Failed to bind socket to ${at}` : `Failed to connect to '${at}'`;
    return new UserError(spec.typed, `${what}: ${error.why}`);
  }
  const named = spec.typed.includes(error.subject) && error.subject !== spec.log?.path;
  const why = named ? error.why : `Could not open '${error.subject}': ${error.why}`;
  return new UserError(spec.typed, why, hint);
}
