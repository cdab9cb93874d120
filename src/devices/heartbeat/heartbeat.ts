/**
 * The heartbeat of AWS's init. Once the enclave is up, its init connects to CID 3, port 9000, sends the byte 0xB7 and
 * waits for the same byte; one that gets no answer gives up, and the enclave exits. It is sent once, and it is a
 * convention of AWS's init: other inits never send it.
 *
 * The port is one for the whole parent instance (heartbeat-port.ts). It is listened on before the start, and given
 * back as soon as the enclave's own heartbeat has come or the time-out has passed. A heartbeat of another enclave is
 * answered, for its init would die otherwise, but not counted here. It is written down before it is answered, for
 * the launcher of that enclave if it shares the port; a stranger's is told.
 */
import { errnoText, SyscallError } from "../../sys/errors.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { isReadable, nowMs, runLoop, type Waiter } from "../../sys/poll.ts";
import { acceptVsock, type Incoming } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import { hear } from "./answer.ts";
import { Strangers, sparing } from "./other-cids.ts";
import { HEARTBEAT_PORT, type HeartbeatPort } from "./port.ts";

/** A stranger that says nothing is heard out for this long, and at most so many at a time. */
const STRANGER_PATIENCE_MS = 5_000;
const MOST_PEERS = 64;
/** At the launcher's end, those whose byte is under way are heard out for this long. */
const FAREWELL_MS = 200;

/** For whoever required a heartbeat that did not come. */
const HOW_IT_COMES =
  `the enclave's init sends byte 0xb7 to CID 3, port ${HEARTBEAT_PORT}, as AWS's does once it is up; ` +
  "the enclave's console tells how far it came: -accel nitro,debug-mode=on shows it";

/** What accept(2) says of a connection that is gone already; the next one is another matter. */
const PASSING: readonly number[] = [ERRNO.ECONNABORTED, ERRNO.EPROTO];

const GIB = 2 ** 30;

/** How long AWS's CLI waits for a heartbeat, in milliseconds, by the image's and the enclave's size in bytes. */
export function awsTimeoutMs(imageBytes: number, memoryBytes: number): number {
  const image = 1 + Math.floor((imageBytes - 1) / (6 * GIB));
  const memory = 1 + Math.floor((memoryBytes - 1) / (100 * GIB));
  return 90_000 * (image + memory);
}

type Tell = (line: string) => void;

/** What the machine gives the heartbeat to work with. */
export interface HeartbeatSetup {
  readonly system: System;
  readonly report: Tell;
  /** Listened on since before the start; owned from here on. */
  readonly port: HeartbeatPort;
  readonly timeoutMs: number;
  /** Whether the enclave is to be stopped without one. */
  readonly required: boolean;
}

/** The heartbeat from the start of the enclave on. */
export class Heartbeat implements Disposable {
  #arrived = false;
  #peers: Peer[] = [];
  #closed = false;
  readonly #strangers: Strangers;
  readonly #tellOfPeer: Tell;
  readonly #listening: Waiter;
  readonly #reading: Waiter;
  #deadlineMs: number;

  /** @param cid the enclave's own CID, @param missed called when a required heartbeat has not come. */
  constructor(
    private readonly setup: HeartbeatSetup,
    private readonly cid: number,
    private readonly missed: () => void,
  ) {
    this.#deadlineMs = nowMs() + setup.timeoutMs;
    const deadlineMs = () => this.#deadlineMs;
    const { port, report } = setup;
    this.#tellOfPeer = sparing(report);
    this.#strangers = new Strangers(port, cid, this.#tellOfPeer);
    this.#listening = {
      fd: port.listener.number,
      events: POLLIN,
      get deadlineMs() {
        return deadlineMs();
      },
      ready: () => this.#accept(),
      expired: () => this.#timeOut(),
    };
    this.#reading = {
      get fd() {
        return port.log?.fd ?? -1;
      },
      events: POLLIN,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: () => this.#look(),
      expired() {},
    };
    port.started(cid);
    for (const each of port.answeredEarly) this.#strangers.answered(each);
    for (const each of port.takeEarly()) this.#meet(each, false);
    this.#look();
  }

  /** Whether the enclave's own heartbeat has come. */
  get arrived(): boolean {
    return this.#arrived;
  }

  /** Whether it is still waited for: neither has it come, nor has the time-out passed. */
  get awaited(): boolean {
    return !this.#arrived && !this.#closed;
  }

  /** Adds what is to be polled to a list. */
  addWaiters(list: Waiter[]): void {
    if (!this.#closed) {
      list.push(this.#listening);
      if (this.setup.port.log !== undefined) list.push(this.#reading);
      this.setup.port.addWaiters(list);
    }
    for (const peer of this.#peers) list.push(peer);
  }

  /** Another launcher may have had the enclave's heartbeat. */
  #look(): void {
    const { log } = this.setup.port;
    if (this.#closed || log === undefined) return;
    log.look();
    this.#strangers.look();
    if (log.hasBeaten(this.cid)) this.#arrive("answered by another launcher");
  }

  #arrive(how: string): void {
    this.#arrived = true;
    this.setup.system.trace.vsock?.(`heartbeat: the enclave's own, from CID ${this.cid}${how && `, ${how}`}`);
    this.#giveBackPort();
  }

  /** The enclave has ended: tells whether its heartbeat was still awaited, and gives the port back. */
  enclaveEnded(): boolean {
    // It may have sent one and ended in the same moment, or while the launcher was held up.
    const { system, port } = this.setup;
    const isWaiting = () => !this.#closed && isReadable(system, port.listener.number);
    for (let i = 0; i < MOST_PEERS && isWaiting(); i++) this.#accept();
    this.#look();
    const { awaited } = this;
    this.#giveBackPort();
    return awaited;
  }

  #accept(): void {
    this.#acceptOne();
    // Where somebody connects without end, the listener is readable whenever it is looked at.
    if (this.awaited && nowMs() >= this.#deadlineMs) this.#timeOut();
  }

  #acceptOne(): void {
    const incoming = acceptVsock(this.setup.system, this.setup.port.listener);
    if (typeof incoming === "number") {
      if (wouldBlock(incoming) || PASSING.includes(-incoming)) return;
      const isFull = incoming === -ERRNO.EMFILE || incoming === -ERRNO.ENFILE;
      if (isFull && this.#peers.length > 0) return this.#dropOldestStranger();
      const failure = new SyscallError("accept4", -incoming, `vsock port ${HEARTBEAT_PORT}`);
      return this.#giveUp(failure.message);
    }
    this.setup.system.trace.vsock?.(`heartbeat: connection from CID ${incoming.cid} port ${incoming.port}`);
    if (this.#peers.length >= MOST_PEERS) this.#dropOldestStranger();
    this.#meet(incoming, incoming.cid === this.cid);
  }

  #meet(incoming: Incoming, own: boolean): void {
    this.#peers.push({
      incoming,
      fd: incoming.socket.number,
      events: POLLIN,
      deadlineMs: own ? Number.POSITIVE_INFINITY : nowMs() + STRANGER_PATIENCE_MS,
      ready: () => this.#hear(incoming, own),
      expired: () => this.#drop(incoming, "said nothing"),
    });
    this.#hear(incoming, own); // an init speaks as soon as it is connected
  }

  #dropOldestStranger(): void {
    const oldest = this.#peers.find((peer) => peer.incoming.cid !== this.cid) ?? this.#peers[0];
    if (oldest !== undefined) this.#drop(oldest.incoming, "gave way to newer ones");
  }

  #hear(incoming: Incoming, own: boolean): void {
    const { system, report, port } = this.setup;
    const heard = hear(system, incoming, () => {
      if (!own) port.log?.beat(incoming.cid);
    });
    if (heard.kind === "nothing yet") return;
    if (heard.kind === "end") return this.#drop(incoming, heard.why);
    if (heard.kind === "wrong byte") {
      const who = own ? "the enclave" : `CID ${incoming.cid}`;
      this.#tellOfPeer(
        `heartbeat: ${who} sent byte 0x${heard.byte.toString(16)} in place of 0xb7; it is not answered`,
      );
      return this.#drop(incoming, "sent a wrong byte");
    }
    const { sent } = heard;
    if (!own) this.#strangers.answered(incoming.cid);
    else if (sent !== 1)
      report(`heartbeat: the enclave's came, but the answer could not be sent: ${errnoText(-sent)}`);
    this.#drop(incoming, sent === 1 ? "answered" : "could not be answered");
    if (own && this.awaited) this.#arrive("");
  }

  #drop(incoming: Incoming, why: string): void {
    this.setup.system.trace.vsock?.(`heartbeat: CID ${incoming.cid} port ${incoming.port} ${why}`);
    incoming.socket.close();
    this.#peers = this.#peers.filter((peer) => peer.incoming !== incoming);
    this.#closeLog();
  }

  #timeOut(): void {
    // This process may have been stopped meanwhile, and another launcher have answered.
    this.#look();
    if (!this.awaited) return;
    this.#giveUp(`none came within ${Math.round(this.setup.timeoutMs / 1000)} s`);
  }

  #giveUp(why: string): void {
    const { required, report } = this.setup;
    this.#giveBackPort();
    if (required) {
      report(`heartbeat: ${why}; heartbeat=require stops the enclave (${HOW_IT_COMES})`);
      this.missed();
    } else {
      report(
        `heartbeat: ${why}; vsock port ${HEARTBEAT_PORT} is given back, the enclave lives on ` +
          "(an init other than AWS's need not send one)",
      );
    }
  }

  #giveBackPort(): void {
    this.#closed = true;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.setup.port.giveBack();
    this.#closeLog();
  }

  /** Those who have connected and whose byte is under way are answered all the same; their launchers have to know. */
  #closeLog(): void {
    if (this.#closed && this.#peers.length === 0) this.setup.port.close();
  }

  /** Hears out those whose byte is under way: other enclaves, which would die of an end in between. */
  #farewell(): void {
    let over = false;
    const expired = () => {
      over = true;
    };
    const end: Waiter = { fd: -1, events: 0, deadlineMs: nowMs() + FAREWELL_MS, ready() {}, expired };
    const others = () => this.#peers.filter(({ incoming }) => incoming.cid !== this.cid);
    runLoop(
      this.setup.system,
      () => [...others(), end],
      () => over || others().length === 0,
    );
  }

  [Symbol.dispose](): void {
    this.#giveBackPort();
    this.#farewell();
    for (const peer of this.#peers) peer.incoming.socket.close();
    this.#peers = [];
    this.#closeLog();
  }
}

interface Peer extends Waiter {
  readonly incoming: Incoming;
}
