/**
 * The run of this launch's enclave: its resources, its state, its CID. Monitors, devices and messages ask this
 * object; nothing else keeps a copy.
 */
import type { RunState } from "../monitor/machine-view.ts";
import { nowMs } from "../sys/poll.ts";
import type { Image } from "./image/image.ts";
import type { LaunchOptions } from "./options.ts";
import type { MemoryPlan } from "./plan/memory.ts";
import type { Vcpus } from "./plan/vcpus.ts";

/** The resources that are planned for the enclave. */
export interface EnclavePlan {
  readonly image: Pick<Image, "size" | "signature">;
  readonly memory: MemoryPlan;
  readonly vcpus: Vcpus;
  readonly threadsPerCore: number;
}

/** The enclave's run, from its plan to its end. */
export class EnclaveRun {
  #state: RunState = "prelaunch";
  #cid: number;
  #startedMs = 0;
  #exitedMs: number | undefined;
  #startEnclave: (() => void) | undefined;
  /** The parent instance's CPUs that were added as vCPUs so far, in the order of the vCPUs. */
  readonly cpus: number[] = [];
  /** The number of physically contiguous regions of the memory; undefined if they cannot be read. */
  regions: number | undefined;
  /** The image's PCRs as hexadecimal digits, by name (pcr0); empty unless they were measured. */
  pcrs: Readonly<Record<string, string>> = {};
  /** The lines that report the PCRs after the start. */
  pcrLines: readonly string[] = [];
  /** The kernel command line in the image. */
  commandLine = "";
  /** Whether a monitor's `quit` or Ctrl-A x has requested the end. */
  quitRequested = false;

  constructor(
    { enclaveCid }: LaunchOptions,
    readonly plan: EnclavePlan,
  ) {
    this.#cid = Number(enclaveCid);
  }

  get state(): RunState {
    return this.#state;
  }

  /** The CID that was requested, 0 for any; from the start on the CID that the enclave has. */
  get cid(): number {
    return this.#cid;
  }

  /** Everything is prepared: `start` calls `startEnclave` from now on. */
  ready(startEnclave: () => void): void {
    this.#startEnclave = startEnclave;
  }

  /** Whether `start` would start the enclave. */
  get canStart(): boolean {
    return this.#state === "prelaunch" && this.#startEnclave !== undefined;
  }

  /** Starts the enclave. Throws UserError if that fails. */
  start(): void {
    if (this.canStart) this.#startEnclave?.();
  }

  /** The enclave runs and has this CID. */
  started(cid: number): void {
    this.#state = "running";
    this.#cid = cid;
    this.#startedMs = nowMs();
  }

  /** The enclave has exited, or was stopped. */
  exited(): void {
    this.#exitedMs ??= nowMs();
  }

  get hasExited(): boolean {
    return this.#exitedMs !== undefined;
  }

  /** Milliseconds from the enclave's start to its exit, or until now. */
  get elapsedMs(): number {
    return (this.#exitedMs ?? nowMs()) - this.#startedMs;
  }

  /** The run is over. */
  shutDown(): void {
    this.#state = "shutdown";
  }
}
