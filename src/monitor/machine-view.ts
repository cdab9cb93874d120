/** The machine as the monitors see it; machine/ implements it. */
import type { ChardevInfo, ChardevSpec } from "../chardev/chardev.ts";

/** QEMU's names for what the enclave does: not started yet, running, over. */
export type RunState = "prelaunch" | "running" | "shutdown";

/** The enclave's memory and where it is from; sizes are in bytes. */
export interface MemoryView {
  readonly bytes: number;
  /** The backend's id and type: ram, memory-backend-memfd. */
  readonly id: string;
  readonly type: string;
  readonly share: boolean;
  readonly prealloc: boolean;
  /** The size of the huge pages that were asked for. */
  readonly pageBytes: number;
  readonly hostNodes: readonly number[];
  readonly policy: string;
}

/** A machine that monitors can ask and command. */
export interface MachineView {
  /** The version of this program: 1.2.3. */
  readonly version: string;
  readonly name: string | undefined;
  readonly uuid: string | undefined;
  readonly debugMode: boolean;
  /** Whether the enclave's heartbeat is waited for, and how long. */
  readonly heartbeat: { readonly policy: string; readonly timeoutSeconds: number };
  readonly memory: MemoryView;
  /** How many vCPUs the enclave is to have. */
  readonly vcpus: number;
  readonly threadsPerCore: number;
  readonly image: {
    readonly kernel: string;
    readonly initrd: string | undefined;
    readonly commandLine: string | undefined;
  };
  readonly chardevs: ChardevsView;
  /** The console's character device; undefined where there is none. */
  readonly serial: string | undefined;
  state(): RunState;
  /** The CID that was asked for; the enclave's own once it runs. */
  cid(): number;
  /** The image's PCRs in hexadecimal digits, by name (pcr0); none where they were not asked for. */
  pcrs(): Readonly<Record<string, string>>;
  /** The parent's CPUs that the enclave has, in the order of its vCPUs. */
  cpus(): readonly number[];
  /** The same; before the start those that were picked by hand. */
  cpuIds(): readonly number[];
  /** Ends the launcher, and the enclave with it. */
  quit(): void;
  /** Starts an enclave that waits for it. Gives why it cannot, or undefined where it does. */
  start(): string | undefined;
}

/** The character devices, to be listed, added, exchanged and removed. */
export interface ChardevsView {
  list(): readonly ChardevInfo[];
  has(label: string): boolean;
  isBusy(label: string): boolean;
  isMux(label: string): boolean;
  /** Reads a specification as -chardev takes it. Throws UserError. */
  read(text: string, label?: string): ChardevSpec;
  /** Throws UserError. */
  open(spec: ChardevSpec): void;
  /** Throws UserError. */
  change(spec: ChardevSpec): void;
  remove(label: string): void;
  /** What a ring buffer has kept; undefined for what is none. */
  take(label: string, most: number): Uint8Array | undefined;
  /** Writes to a device as a frontend would; false where that is no ring buffer. */
  put(label: string, bytes: Uint8Array): boolean;
}
