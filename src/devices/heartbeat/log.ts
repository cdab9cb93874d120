/**
 * The heartbeat log of launchers that share the port: an anonymous file to which every launcher appends and from which
 * nothing is removed. It outlives the launcher that wrote an entry, so a heartbeat in it counts whatever becomes of the
 * launcher that answered it.
 */
import {
  acknowledgeBroadcast,
  createBroadcastEvent,
  signalBroadcast,
  watchBroadcastEvent,
} from "../../sys/broadcast-event.ts";
import { SyscallError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import { readBytesAt, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { createAppendFile } from "../../sys/memory-file.ts";
import { struct, u32 } from "../../sys/struct.ts";
import type { System } from "../../sys/system.ts";

/** An entry. The launchers that share a file have the same HANDOFF_NAME, so an entry needs no version. */
const entry = struct("heartbeat_log_entry", 16, { kind: u32, cid: u32, launch: u32, padding: u32 });
/** A launcher is about to start its enclave: from here on a CID may be that enclave's. */
const STARTING = 1;
/** A launcher's enclave has this CID. */
const STARTED = 2;
/** A heartbeat came from this CID and is about to be answered. */
const HEARTBEAT = 3;
/** A launcher's enclave could not be started. */
const FAILED = 4;
const ENTRIES_PER_READ = 512;

/** The two descriptors that launchers share: the file, and the event that wakes its readers. */
export type LogFds = readonly [file: Fd, event: Fd];

/** Creates the descriptors. Throws SyscallError. */
export function createLog(system: System): LogFds {
  using stack = new DisposableStack();
  const file = stack.use(createAppendFile(system, "nitro-heartbeats"));
  const event = stack.use(createBroadcastEvent(system));
  stack.move();
  return [file, event];
}

/** How often a call is made: the kernel may be short of memory for a moment. */
const MAX_ATTEMPTS = 3;

/** Calls until the result is not negative, a few times. Returns the last result. */
function attempts(call: () => number): number {
  let result = call();
  for (let i = 1; i < MAX_ATTEMPTS && result < 0; i++) result = call();
  return result;
}

/** The log as one launcher reads it. */
export class HeartbeatLog implements Disposable {
  readonly #watch: Fd;
  #readBytes = 0;
  /** CIDs with a heartbeat since this launcher's start, and since the latest start of any launcher. */
  readonly #heartbeats = new Set<number>();
  readonly #freshHeartbeats = new Set<number>();
  readonly #started = new Set<number>();
  /** This launch's id in its entries. */
  readonly #launch = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  /** Launches that are starting an enclave whose CID is not known yet. */
  readonly #startingLaunches = new Set<number>();
  #isStarting = false;

  /** @param fds owned by the log. Throws SyscallError. */
  constructor(
    private readonly system: System,
    readonly fds: LogFds,
  ) {
    try {
      this.#watch = watchBroadcastEvent(system, fds[1]);
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
  }

  /** Readable when there may be new entries. */
  get fd(): number {
    return this.#watch.number;
  }

  /** Reads the new entries. After an error they are read with later ones, or at the time-out. */
  read(): void {
    acknowledgeBroadcast(this.system, this.#watch);
    const bytes = new Uint8Array(ENTRIES_PER_READ * entry.size);
    for (;;) {
      const got = attempts(() => this.#readInto(bytes));
      for (let i = 0; i + entry.size <= got; i += entry.size) {
        this.#apply(entry.decode(bytes, i));
        this.#readBytes += entry.size;
      }
      if (got < bytes.length) return;
    }
  }

  /** Returns the number of bytes, or the negative errno. */
  #readInto(bytes: Uint8Array): number {
    try {
      const file = { fd: this.fds[0], path: "the heartbeat log" };
      return readBytesAt(this.system, file, bytes, this.#readBytes);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      return -error.errno;
    }
  }

  #apply({ kind, cid, launch }: { kind: number; cid: number; launch: number }): void {
    if (kind === STARTING) {
      this.#freshHeartbeats.clear();
      this.#startingLaunches.add(launch);
    }
    if (kind === STARTED) this.#started.add(cid);
    if (kind === STARTED || kind === FAILED) this.#startingLaunches.delete(launch);
    if (kind !== HEARTBEAT) return;
    this.#heartbeats.add(cid);
    this.#freshHeartbeats.add(cid);
  }

  #append(kind: number, cid: number): void {
    const bytes = entry.encode({ kind, cid, launch: this.#launch, padding: 0 });
    attempts(() => writeSome(this.system, this.fds[0].number, addressOf(bytes), bytes.length));
    signalBroadcast(this.system, this.fds[1]);
  }

  /** Records that this launcher is about to start its enclave. Earlier heartbeats do not count for it. */
  starting(): void {
    this.read();
    this.#heartbeats.clear();
    this.#isStarting = true;
    this.#append(STARTING, 0);
  }

  /** Records the CID of this launcher's enclave. */
  started(cid: number): void {
    this.#isStarting = false;
    this.#append(STARTED, cid);
  }

  /** Records a heartbeat that is about to be answered, unless the log has it already. */
  heartbeat(cid: number): void {
    this.read();
    if (!this.#freshHeartbeats.has(cid)) this.#append(HEARTBEAT, cid);
  }

  /** Whether the log has a heartbeat from this CID since this launcher's start. */
  hasHeartbeat(cid: number): boolean {
    return this.#heartbeats.has(cid);
  }

  /**
   * Whether another launch is starting an enclave whose CID it has not recorded yet: an unknown CID may be that one.
   */
  get awaitsCid(): boolean {
    return this.#startingLaunches.size > (this.#startingLaunches.has(this.#launch) ? 1 : 0);
  }

  /** Whether this CID belongs to the enclave of a launcher that shares the log. */
  isKnown(cid: number): boolean {
    return this.#started.has(cid);
  }

  [Symbol.dispose](): void {
    if (this.#isStarting) this.#append(FAILED, 0);
    this.#isStarting = false;
    this.#watch.close();
    for (const fd of this.fds) fd.close();
  }
}
