/**
 * The heartbeat device. It listens on the heartbeat's port (port.ts) from before the start until the enclave's own
 * heartbeat has come or the time-out has passed. A heartbeat from another CID is answered, because that enclave would
 * exit otherwise, but it does not count here.
 */
import { errnoText, SyscallError } from "../../sys/errors.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { SOMAXCONN } from "../../sys/linux/socket.ts";
import { isReadable, nowMs, runLoop, type Waiter, waiter } from "../../sys/poll.ts";
import type { System } from "../../sys/system.ts";
import type { Device, ExitEvidence } from "../device.ts";
import { limitedReport, OtherCids } from "./other-cids.ts";
import { oldestConnection, surplusConnection } from "./peer-limits.ts";
import type { HeartbeatPort } from "./port.ts";
import { HEARTBEAT_PORT, PeerConnection } from "./protocol.ts";

/** How long another CID's connection may stay silent. */
const PEER_TIMEOUT_MS = 5_000;
/** Connections accepted per turn of the loop. */
const ACCEPT_BATCH = 256;
/** At the launcher's end, connections of other CIDs get this long to send their byte. */
const LINGER_MS = 200;

const REQUIRED_HINT =
  `hint: its init must send byte 0xb7 to CID 3, port ${HEARTBEAT_PORT}, as AWS's init does once it is up; ` +
  "-accel nitro,debug-mode=on shows the console";

/** What the heartbeat is created from. */
export interface HeartbeatSetup {
  readonly system: System;
  readonly report: (line: string) => void;
  /** Returns the port, listening. The heartbeat owns it. */
  readonly claimPort: () => Promise<HeartbeatPort>;
  readonly timeoutMs: number;
  /** Whether an enclave without a heartbeat has to be stopped. */
  readonly required: boolean;
}

interface Peer extends Waiter {
  readonly connection: PeerConnection;
}

/** The heartbeat as a device. */
export class Heartbeat implements Device {
  #port: HeartbeatPort | undefined;
  /** 0 before the start. */
  #cid = 0;
  #arrived = false;
  /** The port has been released: the heartbeat is no longer awaited. */
  #released = false;
  #missed = false;
  #awaitedAtExit = false;
  #deadlineMs = Number.POSITIVE_INFINITY;
  /** Those that have been reported. */
  readonly #acceptErrors = new Set<number>();
  #peers: Peer[] = [];
  #otherCids: OtherCids | undefined;
  readonly #reportPeer: (line: string) => void;
  readonly #listenerWaiter: Waiter;
  readonly #logWaiter: Waiter;

  constructor(private readonly setup: HeartbeatSetup) {
    this.#reportPeer = limitedReport(setup.report);
    this.#listenerWaiter = waiter(
      () => this.#port?.listener.number ?? -1,
      POLLIN,
      () => this.#acceptPeers(),
      { deadlineMs: () => this.#deadlineMs, expired: () => this.#timedOut() },
    );
    this.#logWaiter = waiter(
      () => this.#port?.log?.fd ?? -1,
      POLLIN,
      () => this.#readLog(),
    );
  }

  /** Claims the port. */
  async realize(): Promise<void> {
    this.#port = await this.setup.claimPort();
  }

  /** Shares the port with launchers that wait for it; called between the steps of a launch. */
  serveOtherLaunchers(): void {
    this.#port?.serveOtherLaunchers();
  }

  enclaveStarting(): void {
    this.#port?.starting();
  }

  enclaveStarted(cid: number): void {
    const port = this.#port;
    if (port === undefined) return;
    this.#cid = cid;
    this.#deadlineMs = nowMs() + this.setup.timeoutMs;
    this.#otherCids = new OtherCids(port, cid, this.#reportPeer);
    port.started(cid, this.setup.timeoutMs);
    for (const each of port.answeredEarly) this.#otherCids.answered(each);
    for (const each of port.takeEarly()) this.#addPeer(each, false);
    this.#readLog();
  }

  get hasArrived(): boolean {
    return this.#arrived;
  }

  /** Whether the heartbeat has neither come nor timed out. */
  get isAwaited(): boolean {
    return !this.#arrived && !this.#released;
  }

  get requiresStop(): boolean {
    return this.#missed;
  }

  exitEvidence(): ExitEvidence {
    return { heartbeat: this.#missed ? "missed" : this.#awaitedAtExit ? "awaited" : undefined };
  }

  addWaiters(list: Waiter[]): void {
    if (!this.#released) {
      if (this.#cid !== 0) {
        list.push(this.#listenerWaiter);
        if (this.#port?.log !== undefined) list.push(this.#logWaiter);
      }
      this.#port?.addWaiters(list);
    }
    for (const peer of this.#peers) list.push(peer);
  }

  enclaveExited(): void {
    // The enclave may have sent its heartbeat immediately before it exited.
    const isWaiting = () =>
      !this.#released && isReadable(this.setup.system, this.#port?.listener.number ?? -1);
    for (let i = 0; i < SOMAXCONN && isWaiting(); i += ACCEPT_BATCH) this.#acceptPeers();
    this.#readLog();
    this.#awaitedAtExit = this.isAwaited;
    this.#releasePort();
  }

  /** Another launcher may have answered the enclave's heartbeat. */
  #readLog(): void {
    const log = this.#port?.log;
    if (this.#released || log === undefined) return;
    log.read();
    this.#otherCids?.update();
    if (log.hasHeartbeat(this.#cid)) this.#arrive(", answered by another launcher");
  }

  #arrive(how: string): void {
    this.#arrived = true;
    this.setup.system.trace.vsock?.(`heartbeat: received from the enclave, CID ${this.#cid}${how}`);
    this.#releasePort();
  }

  #acceptPeers(): void {
    for (let i = 0; i < ACCEPT_BATCH && this.isAwaited && this.#acceptOne(); i++);
    // Peers that connect without end keep the listener readable, and it never expires.
    if (this.isAwaited && nowMs() >= this.#deadlineMs) this.#timedOut();
  }

  /** Accepts a connection. Returns whether there may be another one. */
  #acceptOne(): boolean {
    const incoming = this.#port?.accept();
    if (incoming === undefined) return true;
    if (typeof incoming === "number") {
      this.#acceptFailed(-incoming);
      return false;
    }
    const { cid, port } = incoming;
    this.setup.system.trace.vsock?.(`heartbeat: connection from CID ${cid} port ${port}`);
    const surplus = surplusConnection(this.#connections(), cid, this.#cid);
    if (surplus !== undefined) this.#dropPeer(surplus, "dropped for a newer one");
    this.#addPeer(new PeerConnection(this.setup.system, incoming), cid === this.#cid);
    return true;
  }

  /** No error gives the port back: accept4(2) is called again until the time-out. */
  #acceptFailed(errno: number): void {
    if (errno === ERRNO.EAGAIN || errno === ERRNO.EINTR) return;
    // The connection is gone already.
    if (errno === ERRNO.ECONNABORTED || errno === ERRNO.EPROTO) return;
    const { system, report } = this.setup;
    // The listener stays readable.
    system.isShort = true;
    const isFull = errno === ERRNO.EMFILE || errno === ERRNO.ENFILE;
    const oldest = oldestConnection(this.#connections(), this.#cid);
    if (isFull && oldest !== undefined) return this.#dropPeer(oldest, "dropped for a newer one");
    if (this.#acceptErrors.has(errno)) return;
    this.#acceptErrors.add(errno);
    const error = new SyscallError("accept4", errno, `vsock port ${HEARTBEAT_PORT}`);
    report(`heartbeat: ${error.message}; trying again, the enclave keeps running`);
  }

  #connections(): PeerConnection[] {
    return this.#peers.map(({ connection }) => connection);
  }

  #addPeer(connection: PeerConnection, own: boolean): void {
    this.#peers.push({
      connection,
      fd: connection.incoming.socket.number,
      get events() {
        return connection.events;
      },
      deadlineMs: own ? Number.POSITIVE_INFINITY : nowMs() + PEER_TIMEOUT_MS,
      ready: () => this.#servePeer(connection, own),
      expired: () => this.#dropPeer(connection, "sent nothing"),
    });
    this.#servePeer(connection, own); // init sends its byte as soon as it is connected
  }

  #servePeer(connection: PeerConnection, own: boolean): void {
    const { cid } = connection.incoming;
    const result = connection.proceed(() => {
      if (!own) this.#port?.log?.heartbeat(cid);
    });
    if (result.kind === "waiting") return;
    if (result.kind === "closed") return this.#dropPeer(connection, result.why);
    if (result.kind === "wrong byte") {
      const sender = own ? "the enclave" : `CID ${cid}`;
      const byte = `0x${result.byte.toString(16)}`;
      this.#reportPeer(`heartbeat: ${sender} sent byte ${byte} instead of 0xb7; not answered`);
      return this.#dropPeer(connection, "sent a wrong byte");
    }
    const { sent } = result;
    if (!own) this.#otherCids?.answered(cid);
    else if (sent !== 1)
      this.setup.report(`heartbeat: received, but the answer could not be sent: ${errnoText(-sent)}`);
    this.#dropPeer(connection, sent === 1 ? "answered" : "could not be answered");
    if (own && this.isAwaited) this.#arrive("");
  }

  #dropPeer(connection: PeerConnection, why: string): void {
    const { cid, port } = connection.incoming;
    this.setup.system.trace.vsock?.(`heartbeat: CID ${cid} port ${port} ${why}`);
    connection.close();
    this.#peers = this.#peers.filter((peer) => peer.connection !== connection);
    this.#closeUnusedLog();
  }

  #timedOut(): void {
    // This process may have been stopped (SIGSTOP) while another launcher answered.
    this.#readLog();
    if (this.isAwaited) this.#stopWaiting(`no heartbeat within ${Math.round(this.setup.timeoutMs / 1000)} s`);
  }

  #stopWaiting(why: string): void {
    const { required, report } = this.setup;
    this.#releasePort();
    this.#missed = required;
    report(
      required
        ? `${why}; stopping the enclave (heartbeat=require); ${REQUIRED_HINT}`
        : `${why}; no longer waiting, the enclave keeps running`,
    );
  }

  #releasePort(): void {
    this.#released = true;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#port?.release();
    this.#closeUnusedLog();
  }

  /** Connected peers are still answered after the release, and the log reports their heartbeats to their launchers. */
  #closeUnusedLog(): void {
    if (this.#released && this.#peers.length === 0) this.#port?.close();
  }

  /** Waits for the bytes of other enclaves that are connected, and answers them: they would exit otherwise. */
  #answerRemainingPeers(): void {
    let isOver = false;
    const expired = () => {
      isOver = true;
    };
    const end: Waiter = { fd: -1, events: 0, deadlineMs: nowMs() + LINGER_MS, ready() {}, expired };
    const others = () => this.#peers.filter(({ connection }) => connection.incoming.cid !== this.#cid);
    runLoop(
      this.setup.system,
      () => [...others(), end],
      () => isOver || others().length === 0,
    );
  }

  [Symbol.dispose](): void {
    this.#releasePort();
    this.#answerRemainingPeers();
    for (const { connection } of this.#peers) connection.close();
    this.#peers = [];
    this.#closeUnusedLog();
  }
}
