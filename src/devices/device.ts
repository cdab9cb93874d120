/**
 * A device of the enclave. As in QEMU's hw/nitro it has two moments: it is realized before the enclave exists, and it
 * learns the CID once the enclave has started. Optional members default to "nothing to do" and "false".
 */
import type { Waiter } from "../sys/poll.ts";

/** What a device knows about how the enclave exited. */
export interface ExitEvidence {
  /** The last bytes of the enclave's console as text; undefined if the console was not read. */
  readonly consoleTail?: string;
  /** "awaited": it had not come when the enclave exited. "missed": it was required and did not come in time. */
  readonly heartbeat?: "awaited" | "missed" | undefined;
}

/** How a run ended, in the terms of QMP's SHUTDOWN event. */
export interface RunEnd {
  /** Whether the enclave ended the run, not the parent instance. */
  readonly guest: boolean;
  readonly reason: "host-signal" | "host-error" | "guest-shutdown" | "guest-panic";
  /** Whether nitro keeps running (-no-shutdown). */
  readonly launcherStays: boolean;
}

/** A device, driven by the launch and by its run loop. */
export interface Device extends Disposable {
  /** Sets up what must exist before the enclave does. Throws UserError. */
  realize?(): void | Promise<void>;
  /** Called immediately before NE_START_ENCLAVE. */
  enclaveStarting?(): void;
  /** Called immediately after NE_START_ENCLAVE. */
  enclaveStarted?(cid: number): void;
  /** Loads code that is needed only while the enclave runs, so that the start does not wait for it. Called once. */
  loadForRun?(): Promise<void>;
  /** Called once when the enclave has exited or was stopped; what it has sent may still be under way. */
  enclaveExited?(): void;
  /** Adds what the run loop is to poll for the device. */
  addWaiters(list: Waiter[]): void;
  /** Whether the enclave has to be stopped, as for a required heartbeat that did not come. */
  readonly requiresStop?: boolean;
  /** Whether the hypervisor may still hold output of the enclave. Until then the enclave's resources are kept. */
  readonly isReceiving?: boolean;
  /** Whether the run loop must go on, after the enclave's exit, until the device has delivered its output. */
  readonly isDelivering?: boolean;
  /** Delivers what can be delivered without waiting. */
  flush?(): void;
  exitEvidence?(): ExitEvidence;
  /** Called once the run has ended. */
  runEnded?(end: RunEnd): void;
}
