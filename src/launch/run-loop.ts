/**
 * With the enclave until the first of: it has exited, or a signal. One loop, asleep unless something happens. With -S
 * it begins before the start, with -no-shutdown it goes on after the end.
 */

import { Heartbeat, type HeartbeatSetup } from "../devices/heartbeat/heartbeat.ts";
import { SerialConsole, type SerialSetup } from "../devices/serial/serial.ts";
import type { Enclave } from "../enclave/enclave.ts";
import { restoreJitThresholds } from "../sys/jit.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import { runLoop, type Waiter, waiter } from "../sys/poll.ts";
import type { StopSignal } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import type { Cancellation } from "./cancellation.ts";
import { EXIT, verdict } from "./exit-status.ts";
import type { Session } from "./frontends.ts";

/** A running enclave and what was set up for it before the start. */
export interface Running {
  readonly system: System;
  readonly report: (line: string) => void;
  readonly enclave: Enclave;
  /** Starts the enclave and tells of it; gives its CID. Throws UserError. */
  readonly start: () => number;
  /** Called once, when nothing but the loop is left. Throws UserError. */
  readonly settle: () => void;
  /** -S: whoever has the RunControl starts it. */
  readonly paused: boolean;
  /** -no-shutdown. */
  readonly staysAfterEnd: boolean;
  /** undefined where nobody listens for it. */
  readonly heartbeat: HeartbeatSetup | undefined;
  /** undefined where there is no console to be had. */
  readonly serial: SerialSetup | undefined;
  readonly stop: Cancellation;
  /** undefined where there are neither monitors nor devices to serve. */
  readonly session: Session | undefined;
}

/** Where a launch stands, in QEMU's words (query-status). */
export type RunStatus = "prelaunch" | "running" | "shutdown";

/** A launch as a monitor sees it: `start` is what its `cont` does. */
export interface RunControl {
  readonly status: RunStatus;
  /** 0 before the start. */
  readonly cid: number;
  /** Starts the enclave that -S holds back; does nothing later. Throws UserError when it cannot be started. */
  readonly start: () => void;
}

/** Stays until the end and tells how it came. Gives the exit status. */
export function runUntilExit(running: Running): number {
  using life = new EnclaveRun(running);
  running.session?.attach(life);
  if (!running.paused) life.start();
  running.settle();
  restoreJitThresholds();
  runLoop(
    running.system,
    () => life.waiters(),
    () => life.over,
  );
  return life.farewell();
}

/** The time from the preparation's end to the launcher's. */
class EnclaveRun implements RunControl, Disposable {
  status: RunStatus = "prelaunch";
  cid = 0;
  #heartbeat: Heartbeat | undefined;
  #serial: SerialConsole | undefined;
  #heartbeatAwaited = false;
  #ended = false;
  #stoppedForHeartbeat = false;
  #signal: StopSignal | undefined;
  readonly #exit: Waiter;
  readonly #signals: Waiter;
  readonly #list: Waiter[] = [];

  constructor(private readonly running: Running) {
    const { enclave, stop } = running;
    const watched = () => (this.#ended || this.status === "prelaunch" ? -1 : enclave.fd);
    this.#exit = waiter(watched, 0, () => this.#exited());
    this.#signals = waiter(
      () => stop.signals.fd,
      POLLIN,
      () => {
        this.#signal ??= stop.signals.next();
      },
    );
  }

  start(): void {
    if (this.status !== "prelaunch") return;
    const { running } = this;
    running.heartbeat?.port.starting();
    this.cid = running.start();
    if (running.heartbeat !== undefined) {
      this.#heartbeat = new Heartbeat(running.heartbeat, this.cid, () => this.#stopForHeartbeat());
    }
    if (running.serial !== undefined) this.#serial = new SerialConsole(running.serial, this.cid);
    this.status = "running";
  }

  /** A required heartbeat has not come: the enclave is stopped, and the rest is as if it had ended by itself. */
  #stopForHeartbeat(): void {
    this.#stoppedForHeartbeat = true;
    this.#exited();
    this.running.enclave[Symbol.dispose]();
  }

  #exited(): void {
    this.#ended = true;
    this.#heartbeatAwaited = this.#heartbeat?.enclaveEnded() ?? false;
    this.#serial?.enclaveEnded();
  }

  waiters(): readonly Waiter[] {
    const list = this.#list;
    list.length = 0;
    list.push(this.#signals, this.#exit);
    this.#serial?.addWaiters(list);
    if (this.status === "prelaunch") this.running.heartbeat?.port.addWaiters(list);
    else this.#heartbeat?.addWaiters(list);
    this.running.session?.addWaiters(list);
    return list;
  }

  /** Asked after every turn: whether the last one has been. */
  get over(): boolean {
    if (this.#signal !== undefined || this.running.session?.quit) return true;
    if (!this.#ended) return false;
    // However long the reader of its last words takes: nothing is lost any more by giving back what the enclave held.
    if (this.#serial?.exhausted) this.running.enclave[Symbol.dispose]();
    if (!(this.#serial?.done ?? true)) return false;
    if (!this.running.staysAfterEnd) return true;
    if (this.status === "running") this.#shutDown();
    return false;
  }

  /** The enclave is gone and the launcher stays: what it held is given back now. */
  #shutDown(): void {
    this.status = "shutdown";
    this.#announceEnd(true);
    this.running.report(`${this.#verdict().sentence}; nitro stays (-no-shutdown)`);
    this.running.enclave[Symbol.dispose]();
    this.#heartbeat?.[Symbol.dispose]();
  }

  #verdict(): { status: number; sentence: string } {
    const consoleTail = this.#serial?.tail() ?? "";
    const { status, sentence } = verdict({
      consoleTail,
      heartbeatAwaited: this.#heartbeatAwaited,
      stoppedForHeartbeat: this.#stoppedForHeartbeat,
    });
    return { status, sentence: `the enclave (CID ${this.cid}) ${sentence}` };
  }

  /** Monitors hear of an end that was the enclave's own, and whether the launcher stays. */
  #announceEnd(stays: boolean): void {
    const { session } = this.running;
    if (this.#stoppedForHeartbeat) return session?.ended({ guest: false, reason: "host-error" }, stays);
    const reason = this.#verdict().status === EXIT.crashed ? "guest-panic" : "guest-shutdown";
    session?.ended({ guest: true, reason }, stays);
  }

  /** Tells how it ended, and gives the exit status. */
  farewell(): number {
    const { report, staysAfterEnd, session } = this.running;
    const asked = this.#signal ?? "quit";
    if (this.#signal !== undefined && !this.#ended) {
      session?.ended({ guest: false, reason: "host-signal" }, false);
    }
    if (this.status === "prelaunch") {
      report(`${asked}: stopped before the enclave was started`);
      return EXIT.stopped;
    }
    if (this.status === "shutdown") return EXIT.stopped;
    if (!this.#ended) {
      this.#serial?.flush();
      report(`${asked}: stopping the enclave`);
      return EXIT.stopped;
    }
    if (this.#serial?.done === false && (this.#signal !== undefined || session?.quit)) {
      report(`${asked}: the enclave has ended, the rest of its console is not waited for`);
    }
    this.#announceEnd(false);
    const { status, sentence } = this.#verdict();
    report(sentence);
    return staysAfterEnd ? EXIT.stopped : status;
  }

  [Symbol.dispose](): void {
    this.#serial?.[Symbol.dispose]();
    this.#heartbeat?.[Symbol.dispose]();
  }
}
