/**
 * The status that a launcher publishes: its enclave's CID, and how long it may hold the heartbeat's port. The launcher
 * keeps it in an anonymous file while its enclave runs. Other launches find the file in /proc, so that their messages
 * can name the enclave. An untrusted client of the handoff socket also receives the status, as a message.
 */
import { sharedClockMs } from "../../sys/clock.ts";
import { SyscallError } from "../../sys/errors.ts";
import { type Fd, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { createMemoryFile } from "../../sys/memory-file.ts";
import { struct, u32, u64 } from "../../sys/struct.ts";
import type { System } from "../../sys/system.ts";
import type { Device } from "../device.ts";

/** The anonymous file's name. */
export const STATUS_FILE = "nitro-heartbeat-holder";

/** The wire format. `until` is on the clock that all processes share, in milliseconds; 0 before the enclave's start. */
const wire = struct("heartbeat_holder", 24, {
  version: u32,
  cid: u32,
  timeout: u32,
  padding: u32,
  until: u64,
});
const VERSION = 1;
/** The longest heartbeat-timeout=. A larger value is not nitro's. */
const MAX_LEFT_MS = 86_400_000;
/** The size of an encoded status in bytes. */
export const STATUS_BYTES = wire.size;

/** The launcher's enclave, and when it stops waiting for the heartbeat. */
export interface HolderStatus {
  readonly cid: number;
  /** Milliseconds until the heartbeat's time-out. */
  readonly leftMs: number;
}

/** Returns the status of a launcher whose enclave has just started; before its start the status of none. */
export function encodeStatus(system: System, started?: { cid: number; timeoutMs: number }): Uint8Array {
  const { cid = 0, timeoutMs = 0 } = started ?? {};
  const until = started === undefined ? 0n : BigInt(Math.ceil(sharedClockMs(system) + timeoutMs));
  return wire.encode({ version: VERSION, cid, timeout: timeoutMs, padding: 0, until });
}

/**
 * Returns the status, "preparing" for a launcher whose enclave has not been started yet; undefined for anything else.
 */
export function decodeStatus(system: System, bytes: Uint8Array): HolderStatus | "preparing" | undefined {
  if (bytes.length !== wire.size) return undefined;
  const { version, cid, timeout, until } = wire.decode(bytes);
  if (version !== VERSION) return undefined;
  if (until === 0n) return "preparing";
  // The time-out limits it: a time namespace may have shifted the clock (time_namespaces(7)).
  const leftMs = Number(until) - sharedClockMs(system);
  return { cid, leftMs: Math.min(Math.max(leftMs, 0), timeout, MAX_LEFT_MS) };
}

/** Publishes the status of the enclave from its start on. */
export class PublishedStatus implements Device {
  #file: Fd | undefined;

  /** @param timeoutMs how long the heartbeat is awaited; 0 without one. */
  constructor(
    private readonly system: System,
    private readonly timeoutMs: number,
  ) {}

  enclaveStarted(cid: number): void {
    const { system, timeoutMs } = this;
    this.#file = publishStatus(system, encodeStatus(system, { cid, timeoutMs }));
  }

  addWaiters(): void {}

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}

/** Makes the status readable in /proc until the file is closed; undefined if that fails. */
export function publishStatus(system: System, status: Uint8Array): Fd | undefined {
  try {
    const file = createMemoryFile(system, STATUS_FILE);
    writeSome(system, file.number, addressOf(status), status.length);
    return file;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return undefined;
  }
}
