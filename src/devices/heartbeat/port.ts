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
import { SOMAXCONN } from "../../sys/linux/socket.ts";
import { VMADDR_CID_HOST } from "../../sys/linux/vm_sockets.ts";
import { isReadable, nowMs, type Waiter, waiter } from "../../sys/poll.ts";
import {
  acceptVsock,
  boundVsockPort,
  listenVsock,
  localCid,
  type VsockConnection,
} from "../../sys/socket/vsock.ts";
import type { System } from "../../sys/system.ts";
import { type Claim, openHandoff, receiveShared, type SharedFds, serveHandoff } from "./handoff.ts";
import { encodeStatus } from "./holder-status.ts";
import { createLog, HeartbeatLog } from "./log.ts";
import { surplusConnection } from "./peer-limits.ts";
import { HEARTBEAT_PORT, PARENT_CID, PeerConnection } from "./protocol.ts";

/** How long a launch waits for the port if it is not known how long the process that holds it may hold it. */
export const PORT_TIMEOUT_MS = 30_000;
/** A holder releases the port at its time-out, unless its processor is busy. */
const GRACE_MS = 2_000;
const MAX_RETRY_MS = 100;
/** Handoff clients served per turn of the loop. */
const MAX_CLIENTS = 64;

/** One launcher's share in the port. */
export class HeartbeatPort implements Disposable {
  #handoff: Fd | undefined;
  #log: HeartbeatLog | undefined;
  #cid: number | undefined;
  /** undefined before the enclave's start. */
  #status: Uint8Array | undefined;
  #early: PeerConnection[] = [];
  #localCid: number | undefined;
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
    for (let i = 0; i < SOMAXCONN && isReadable(this.system, this.listener.number); i++) {
      const incoming = this.accept();
      if (incoming === undefined) continue;
      if (incoming === -ERRNO.EINTR || incoming === -ERRNO.ECONNABORTED) continue;
      if (typeof incoming === "number") break;
      const peer = new PeerConnection(this.system, incoming);
      const { kind } = peer.proceed(() => this.#log?.heartbeat(incoming.cid));
      if (kind === "answered") this.answeredEarly.push(incoming.cid);
      if (kind === "waiting") this.#keepEarly(peer);
      else peer.close();
    }
    this.#log?.starting();
  }

  #keepEarly(peer: PeerConnection): void {
    const surplus = surplusConnection(this.#early, peer.incoming.cid);
    surplus?.close();
    this.#early = this.#early.filter((each) => each !== surplus);
    this.#early.push(peer);
  }

  /**
   * Accepts the next connection, or returns the negative errno; undefined for a connection from this machine, which is
   * closed: any local user can make them, and no enclave has its CIDs.
   */
  accept(): VsockConnection | number | undefined {
    const incoming = acceptVsock(this.system, this.listener);
    if (typeof incoming === "number" || !this.#isLocal(incoming.cid)) return incoming;
    this.system.trace.vsock?.(`heartbeat: connection from this machine (CID ${incoming.cid}) closed`);
    incoming.socket.close();
    return undefined;
  }

  #isLocal(cid: number): boolean {
    return cid <= VMADDR_CID_HOST || cid === PARENT_CID || cid === this.#localCid;
  }

  /** Returns the connections from before the start that have sent nothing yet. The caller owns them. */
  takeEarly(): PeerConnection[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  /** The launcher's enclave has this CID, and its heartbeat is awaited so long. */
  started(cid: number, timeoutMs: number): void {
    this.#cid = cid;
    this.#localCid = localCid(this.system);
    this.#status = encodeStatus(this.system, { cid, timeoutMs });
    this.#log?.started(cid);
  }

  #serveClients(): void {
    for (let i = 0; i < MAX_CLIENTS && this.#handoff !== undefined; i++) {
      const result = serveHandoff(this.system, this.#handoff, {
        shared: () => this.#sharedFds(),
        status: () => this.#status ?? encodeStatus(this.system),
      });
      if (result < 0) return;
    }
  }

  #sharedFds(): Omit<SharedFds, "handoff"> {
    if (this.#log === undefined) {
      this.#log = new HeartbeatLog(this.system, createLog(this.system));
      if (this.#cid !== undefined) this.#log.started(this.#cid);
    }
    return { listener: this.listener, log: this.#log.fds };
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
    for (const peer of this.takeEarly()) peer.close();
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Binds the port, or gets a share in it; waits while another process has it.
 * Throws SyscallError: EADDRINUSE after the time-out; UserError; and what `waits` throws.
 */
export async function claimHeartbeatPort(claim: Claim): Promise<HeartbeatPort> {
  const { system, waits } = claim;
  const limit = new WaitLimit(claim);
  for (let delayMs = 1; ; delayMs = Math.min(2 * delayMs, MAX_RETRY_MS)) {
    try {
      const listener = listenVsock(system, HEARTBEAT_PORT);
      return new HeartbeatPort(system, listener, openHandoff(system));
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === ERRNO.EADDRINUSE)) throw error;
      // Read before the handoff: after a long wait there, the port is tried once more, for its launcher may be gone.
      const { hasPassed } = limit;
      const shared = await sharedPort(claim);
      if (shared !== undefined) return shared;
      if (hasPassed && !(await limit.extend())) throw error;
    }
    // Not at once: another launcher binds the port a moment before it opens its handoff socket.
    if (delayMs === MAX_RETRY_MS) await limit.report();
    waits.pause(delayMs);
  }
}

/** How long a launch waits for the port: heartbeat-wait=, or as long as the holder may hold it. */
class WaitLimit {
  readonly #startMs = nowMs();
  #deadlineMs: number;
  #isReported = false;

  constructor(private readonly claim: Claim) {
    this.#deadlineMs = this.#startMs + (claim.waitMs ?? PORT_TIMEOUT_MS);
  }

  get hasPassed(): boolean {
    return nowMs() >= this.#deadlineMs;
  }

  /** Reports the holder, once, and sets the limit accordingly. */
  async report(): Promise<void> {
    if (this.#isReported) return;
    this.#isReported = true;
    const { waitMs, findPortUse } = this.claim;
    const { holder, leftMs } = await findPortUse();
    if (waitMs === undefined && leftMs !== undefined) this.#deadlineMs = nowMs() + leftMs + GRACE_MS;
    this.#say(holder, waitMs ?? leftMs ?? PORT_TIMEOUT_MS);
  }

  /** Sets the limit to that of another launcher which has the port by now. Returns whether there is one. */
  async extend(): Promise<boolean> {
    const { waitMs, findPortUse } = this.claim;
    if (waitMs !== undefined) return false;
    const { holder, leftMs = 0, isEstimate } = await findPortUse();
    if (leftMs === 0 || isEstimate) return false;
    this.#deadlineMs = nowMs() + leftMs + GRACE_MS;
    this.#say(holder, leftMs);
    return true;
  }

  #say(holder: string, limitMs: number): void {
    const seconds = Math.ceil(limitMs / 1000);
    this.claim.report(`port ${HEARTBEAT_PORT} is in use by ${holder}; waiting for it, up to ${seconds} s`);
  }
}

async function sharedPort(claim: Claim): Promise<HeartbeatPort | undefined> {
  const { system } = claim;
  const fds = await receiveShared(claim);
  if (fds === undefined) return undefined;
  using stack = new DisposableStack();
  for (const fd of [fds.listener, fds.handoff, ...fds.log]) stack.use(fd);
  if (boundVsockPort(system, fds.listener) !== HEARTBEAT_PORT) return undefined;
  const log = new HeartbeatLog(system, fds.log);
  stack.move();
  log.read();
  return new HeartbeatPort(system, fds.listener, fds.handoff, log);
}
