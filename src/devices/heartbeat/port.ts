/**
 * The heartbeat's vsock port: one for the whole parent instance, shared by all launchers that await a heartbeat.
 *
 * The launcher that binds the port also opens a handoff socket (handoff.ts), from which the others get the port's
 * listener and the heartbeat log. Every launcher polls the listener. One that accepts a connection answers it; a
 * heartbeat of another launcher's enclave is written to the log before that, where its launcher finds it. So the port
 * is open as long as any launcher needs it, no launcher depends on another one, and everything ends with the
 * last of them.
 */
import { SyscallError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { isReadable, nowMs, type Waiter, waiter } from "../../sys/poll.ts";
import { acceptVsock, boundVsockPort, listenVsock, type VsockConnection } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import { openHandoff, receiveShared, type SharedFds, serveHandoff, type Waits } from "./handoff.ts";
import { createLog, HeartbeatLog } from "./log.ts";
import { answerPeer, HEARTBEAT_PORT } from "./protocol.ts";

/**
 * How long a launch waits for another program's port: QEMU and AWS's CLI release it after their enclave's heartbeat.
 */
export const PORT_TIMEOUT_MS = 30_000;
const MAX_RETRY_MS = 100;
/** Handoff clients served per turn of the loop. */
const MAX_CLIENTS = 8;
/** Connections accepted immediately before the start. */
const MAX_EARLY = 64;

/** One launcher's share in the port. */
export class HeartbeatPort implements Disposable {
  #handoff: Fd | undefined;
  #log: HeartbeatLog | undefined;
  #cid: number | undefined;
  readonly #early: VsockConnection[] = [];
  /** CIDs whose heartbeats were answered before the start. */
  readonly answeredEarly: number[] = [];
  readonly #handoffWaiter: Waiter;

  /** @param handoff undefined if the port cannot be shared. The port owns all descriptors. */
  constructor(
    private readonly system: System,
    readonly listener: Fd,
    handoff: Fd | undefined,
    log?: HeartbeatLog,
  ) {
    this.#handoff = handoff;
    this.#log = log;
    this.#handoffWaiter = waiter(
      () => this.#handoff?.number ?? -1,
      POLLIN,
      () => this.#serveClients(),
    );
  }

  /** The log of all launchers that share the port; undefined while there is only one. */
  get log(): HeartbeatLog | undefined {
    return this.#log;
  }

  addWaiters(list: Waiter[]): void {
    if (this.#handoff !== undefined) list.push(this.#handoffWaiter);
  }

  /** Serves waiting launchers, between the steps of a launch. */
  serveOtherLaunchers(): void {
    if (this.#handoff !== undefined && isReadable(this.system, this.#handoff.number)) this.#serveClients();
  }

  /**
   * Called before the enclave starts. Every connection that exists now is another enclave's: one that has exited may
   * have had the CID that this enclave gets.
   */
  starting(): void {
    for (let i = 0; i < MAX_EARLY && isReadable(this.system, this.listener.number); i++) {
      const incoming = acceptVsock(this.system, this.listener);
      if (typeof incoming === "number") break;
      const { kind } = answerPeer(this.system, incoming, () => this.#log?.heartbeat(incoming.cid));
      if (kind === "answered") this.answeredEarly.push(incoming.cid);
      if (kind === "nothing yet") this.#early.push(incoming);
      else incoming.socket.close();
    }
    this.#log?.starting();
  }

  /** Returns the connections from before the start that have sent nothing yet. The caller owns them. */
  takeEarly(): VsockConnection[] {
    return this.#early.splice(0);
  }

  /** The launcher's enclave has this CID. */
  started(cid: number): void {
    this.#cid = cid;
    this.#log?.started(cid);
  }

  #serveClients(): void {
    for (let i = 0; i < MAX_CLIENTS && this.#handoff !== undefined; i++) {
      try {
        const result = serveHandoff(this.system, this.#handoff, () => this.#sharedFds());
        if (wouldBlock(result) || result === -ERRNO.ECONNABORTED) return;
        // A socket that stays readable would keep the loop awake.
        if (result < 0) return this.#closeHandoff(`accept4: errno ${-result}`);
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
        return this.#closeHandoff(error.message);
      }
    }
  }

  #sharedFds(): Omit<SharedFds, "handoff"> {
    if (this.#log === undefined) {
      this.#log = new HeartbeatLog(this.system, createLog(this.system));
      if (this.#cid !== undefined) this.#log.started(this.#cid);
    }
    return { listener: this.listener, log: this.#log.fds };
  }

  #closeHandoff(why: string): void {
    this.system.trace.vsock?.(`heartbeat: port ${HEARTBEAT_PORT} is no longer shared: ${why}`);
    this.#handoff?.close();
    this.#handoff = undefined;
  }

  /**
   * Releases the port but keeps the log, to which heartbeats under way may have to be written; other launchers keep
   * their duplicates. The handoff socket is closed first: a launcher that finds it closed tries to bind the port.
   */
  release(): void {
    this.#handoff?.close();
    this.#handoff = undefined;
    this.listener.close();
  }

  /** Releases everything. */
  close(): void {
    this.release();
    for (const { socket } of this.takeEarly()) socket.close();
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Binds the port, or gets a share in it; waits while another program has it.
 * Throws SyscallError: EADDRINUSE after the time-out; UserError; and what `waits` throws.
 * @param describeHolder describes the process that has the port.
 */
export async function claimHeartbeatPort(
  system: System,
  report: (line: string) => void,
  waits: Waits,
  describeHolder: () => Promise<string>,
): Promise<HeartbeatPort> {
  const deadlineMs = nowMs() + PORT_TIMEOUT_MS;
  let reported = false;
  for (let delayMs = 1; ; delayMs = Math.min(2 * delayMs, MAX_RETRY_MS)) {
    try {
      const listener = listenVsock(system, HEARTBEAT_PORT);
      return new HeartbeatPort(system, listener, openHandoff(system));
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === ERRNO.EADDRINUSE)) throw error;
      // Read before the handoff: after a long wait there, the port is tried once more, for its launcher may be gone.
      const isLast = nowMs() >= deadlineMs;
      const shared = sharedPort(system, report, waits);
      if (shared !== undefined) return shared;
      if (isLast) throw error;
    }
    // Not at once: another launcher binds the port a moment before it opens its handoff socket.
    if (!reported && delayMs === MAX_RETRY_MS) {
      reported = true;
      const holder = await describeHolder();
      const seconds = PORT_TIMEOUT_MS / 1000;
      report(`port ${HEARTBEAT_PORT} is in use by ${holder}; waiting for it, up to ${seconds} s`);
    }
    waits.pause(delayMs);
  }
}

function sharedPort(system: System, report: (line: string) => void, waits: Waits): HeartbeatPort | undefined {
  const fds = receiveShared(system, report, waits);
  if (fds === undefined) return undefined;
  using stack = new DisposableStack();
  for (const fd of [fds.listener, fds.handoff, ...fds.log]) stack.use(fd);
  if (boundVsockPort(system, fds.listener) !== HEARTBEAT_PORT) return undefined;
  const log = new HeartbeatLog(system, fds.log);
  stack.move();
  log.read();
  return new HeartbeatPort(system, fds.listener, fds.handoff, log);
}
