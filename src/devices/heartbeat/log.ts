/**
 * What launchers that share the port tell each other: an anonymous file that each of them holds, to which all append
 * and from which nothing is taken away. It outlives whoever has written it, so a heartbeat that stands in it counts
 * whatever becomes of the launcher that answered it.
 */
import { announce, createBroadcastEvent, quiet, watchBroadcastEvent } from "../../sys/broadcast-event.ts";
import type { Fd } from "../../sys/files.ts";
import { readBytesAt, writeSome } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { makeAppendedFile } from "../../sys/memory-file.ts";
import { struct, u32 } from "../../sys/struct.ts";
import type { System } from "../../sys/system.ts";

/** An entry. The file is this machine's own and never older than its oldest launcher, so no version is needed. */
const entry = struct("heartbeat_log_entry", 16, { kind: u32, cid: u32, launch: u32, padding: u32 });
/** A launcher is about to start an enclave: from here on a CID may be a new enclave's. */
const STARTING = 1;
/** The enclave with this CID has its launcher among those that share the log. */
const STARTED = 2;
/** A heartbeat came from this CID; it is about to be answered. */
const BEAT = 3;
/** A launch has come to nothing: its enclave could not be started. */
const FAILED = 4;
/** Entries read at a time. */
const CHUNK = 512;

/** The two descriptors that are shared: the file, and what wakes everybody who reads it. */
export type LogFds = readonly [file: Fd, announcement: Fd];

/** Makes what is shared. Throws SyscallError. */
export function makeLog(system: System): LogFds {
  using stack = new DisposableStack();
  const file = stack.use(makeAppendedFile(system, "nitro-heartbeats"));
  const announcement = stack.use(createBroadcastEvent(system));
  stack.move();
  return [file, announcement];
}

/** The log as one launcher sees it. */
export class HeartbeatLog implements Disposable {
  readonly #watch: Fd;
  #read = 0;
  /** Heartbeats since this launcher's own start, and since anybody's. */
  readonly #beats = new Set<number>();
  readonly #freshBeats = new Set<number>();
  readonly #started = new Set<number>();
  /** What this launch is called in its entries, and which others have an enclave that may run, of an unknown CID. */
  readonly #launch = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  readonly #underWay = new Set<number>();
  #isStarting = false;

  /** @param fds owned from here on. Throws SyscallError. */
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

  /** Readable when there may be something new. */
  get fd(): number {
    return this.#watch.number;
  }

  /** Reads what is new. */
  look(): void {
    quiet(this.system, this.#watch);
    const bytes = new Uint8Array(CHUNK * entry.size);
    for (;;) {
      const at = this.#read;
      const got = readBytesAt(this.system, this.fds[0], "the heartbeats' log", bytes, at);
      for (let i = 0; i + entry.size <= got; i += entry.size) {
        this.#take(entry.decode(bytes, i));
        this.#read += entry.size;
      }
      if (got < bytes.length) return;
    }
  }

  #take({ kind, cid, launch }: { kind: number; cid: number; launch: number }): void {
    if (kind === STARTING) {
      this.#freshBeats.clear();
      this.#underWay.add(launch);
    }
    if (kind === STARTED) this.#started.add(cid);
    if (kind === STARTED || kind === FAILED) this.#underWay.delete(launch);
    if (kind !== BEAT) return;
    this.#beats.add(cid);
    this.#freshBeats.add(cid);
  }

  #append(kind: number, cid: number): void {
    const bytes = entry.encode({ kind, cid, launch: this.#launch, padding: 0 });
    writeSome(this.system, this.fds[0].number, addressOf(bytes), bytes.length);
    announce(this.system, this.fds[1]);
  }

  /** This launcher is about to start its enclave: heartbeats count from here on. */
  starting(): void {
    this.look();
    this.#beats.clear();
    this.#isStarting = true;
    this.#append(STARTING, 0);
  }

  /** Its enclave has this CID. */
  started(cid: number): void {
    this.#isStarting = false;
    this.#append(STARTED, cid);
  }

  /** A heartbeat came, and is about to be answered. One that is known is not written again. */
  beat(cid: number): void {
    this.look();
    if (!this.#freshBeats.has(cid)) this.#append(BEAT, cid);
  }

  /** Whether a heartbeat from this CID stands there, later than this launcher's start. */
  hasBeaten(cid: number): boolean {
    return this.#beats.has(cid);
  }

  /** Whether another launch is between its enclave's start and telling its CID: an unknown CID may be this one's. */
  get awaitsCid(): boolean {
    return this.#underWay.size > (this.#underWay.has(this.#launch) ? 1 : 0);
  }

  /** Whether this CID is an enclave's whose launcher reads this log. */
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
