/** The machine as the monitor commands see it. The launch implements it. */

import type { ChardevInfo, ChardevSpec } from "../chardev/chardev.ts";
import type { Fd } from "../sys/files.ts";

/** QMP's RunState, as far as an enclave can have it. */
export type RunState = "prelaunch" | "running" | "shutdown";

/** The enclave's memory backend. Sizes are in bytes. */
export interface MemoryView {
  readonly bytes: number;
  /** The backend object's id, such as "ram". */
  readonly id: string;
  /** The backend object's QOM type, such as "memory-backend-memfd". */
  readonly type: string;
  readonly share: boolean;
  readonly prealloc: boolean;
  /** The requested huge page size. */
  readonly pageBytes: number;
  readonly hostNodes: readonly number[];
  readonly policy: string;
}

/** One command line option, as query-command-line-options describes it (QMP's CommandLineOptionInfo). */
export interface CommandLineOptionInfo {
  readonly option: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly type: "string" | "boolean" | "number" | "size";
    readonly help?: string;
    readonly default?: string;
  }[];
}

/** The machine's state and the actions that monitor commands use. */
export interface MachineView {
  /** nitro's own version: 1.2.3. */
  readonly version: string;
  readonly name: string | undefined;
  readonly uuid: string | undefined;
  readonly debugMode: boolean;
  readonly heartbeat: { readonly policy: string; readonly timeoutSeconds: number };
  readonly memory: MemoryView;
  /** The number of vCPUs. */
  readonly vcpus: number;
  readonly threadsPerCore: number;
  readonly image: {
    readonly kernel: string;
    readonly initrd: string | undefined;
    readonly commandLine: string | undefined;
  };
  readonly chardevs: ChardevsView;
  readonly descriptors: DescriptorsView;
  /** The label of the console's character device; undefined without a console. */
  readonly serial: string | undefined;
  /** The launch options, for query-command-line-options. */
  readonly commandLineOptions: readonly CommandLineOptionInfo[];
  state(): RunState;
  /** Returns the requested CID before the start, the assigned one after it. */
  cid(): number;
  /** Returns the image's PCRs in hexadecimal by name ("pcr0"); empty unless they were measured. */
  pcrs(): Readonly<Record<string, string>>;
  /** Returns the parent instance's CPUs that the enclave uses, by vCPU index. */
  cpus(): readonly number[];
  /** Returns the accelerator's cpu-ids: as requested before the start, as assigned after it. */
  cpuIds(): readonly number[];
  /** Terminates the enclave and the launcher. */
  quit(): void;
  /** Starts an enclave held back by -S. Returns the reason if it cannot be started, otherwise undefined. */
  start(): string | undefined;
}

/** The passed file descriptors as monitor commands use them. */
export interface DescriptorsView {
  /** Takes ownership. A descriptor that had the name before is closed. */
  name(name: string, fd: Fd): void;
  /** Returns false if no descriptor has the name. */
  closeNamed(name: string): boolean;
  /** Takes ownership. @param id undefined: the first free number. Returns the number of the set. */
  addToSet(fd: Fd, id: number | undefined, opaque: string | undefined): number;
  /** Closes one descriptor of a set, or all. Returns false if there is none. */
  removeFromSet(id: number, fd: number | undefined): boolean;
  sets(): readonly DescriptorSet[];
}

/** A set of descriptors, which is opened as /dev/fdset/ID. */
export interface DescriptorSet {
  readonly id: number;
  readonly fds: readonly { readonly fd: number; readonly opaque: string | undefined }[];
}

/** The character devices as monitor commands use them. */
export interface ChardevsView {
  list(): readonly ChardevInfo[];
  has(label: string): boolean;
  isBusy(label: string): boolean;
  isMux(label: string): boolean;
  /** Parses -chardev's syntax. @param label the id, where the text must not contain one. Throws UserError. */
  parse(text: string, label?: string): ChardevSpec;
  /** Throws UserError. */
  open(spec: ChardevSpec): void;
  /** Replaces the backend of an existing device. Throws UserError. */
  change(spec: ChardevSpec): void;
  remove(label: string): void;
  /** Consumes and returns at most `maxBytes` bytes of a ring buffer; undefined for other devices. */
  readRing(label: string, maxBytes: number): Uint8Array | undefined;
  /** Writes to a ring buffer. Returns false for other devices. */
  writeRing(label: string, bytes: Uint8Array): boolean;
}
