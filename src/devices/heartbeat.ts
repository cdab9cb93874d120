/**
 * The heartbeat of AWS's init. Once the enclave is up, its init connects to CID 3, port 9000, sends the byte 0xB7 and
 * waits for the same byte; one that gets no answer gives up, and the enclave exits. It is sent once, and it is a
 * convention of AWS's init: other inits never send it.
 *
 * The port is one for the whole parent instance. It is listened on before the start, and given back as soon as the
 * enclave's own heartbeat has come or AWS's time-out has passed. A stranger's heartbeat (another launcher's enclave)
 * is answered, for its init would die otherwise; it is not counted, and told.
 */
import { errnoText, Failure, SyscallError } from "../sys/failure.ts";
import { type Fd, readSome } from "../sys/files.ts";
import { addressOf } from "../sys/libc.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { POLLIN } from "../sys/linux/poll.ts";
import { nowMs, type Waiter } from "../sys/poll.ts";
import { type System, wouldBlock } from "../sys/system.ts";
import { acceptVsock, type Incoming, listenVsock, sendSome } from "../sys/vsock.ts";

/** The vsock port of the parent that AWS's init connects to. */
export const HEARTBEAT_PORT = 9000;
const HEARTBEAT_BYTE = 0xb7;
/** How long another launcher may hold the port before this one gives up, and how often it is asked for. */
const PORT_PATIENCE_MS = 30_000;
const PORT_RETRY_MS = 100;
/** A stranger that says nothing is heard out for this long, and at most so many at a time. */
const STRANGER_PATIENCE_MS = 5_000;
const MOST_PEERS = 64;

/** For whoever required a heartbeat that did not come. */
const HOW_IT_COMES =
  `the enclave's init sends byte 0xb7 to CID 3, port ${HEARTBEAT_PORT}, as AWS's does once it is up; ` +
  "the enclave's console tells how far it came: -accel nitro,debug-mode=on shows it";

const GIB = 2 ** 30;

/** How long AWS's CLI waits for a heartbeat, in milliseconds, by the image's and the enclave's size in bytes. */
export function awsTimeoutMs(imageBytes: number, memoryBytes: number): number {
  const image = 1 + Math.floor((imageBytes - 1) / (6 * GIB));
  const memory = 1 + Math.floor((memoryBytes - 1) / (100 * GIB));
  return 90_000 * (image + memory);
}

/**
 * Listens on the port, waiting while another launcher holds it: launchers give it back after their own heartbeat.
 * @param pause waits so many milliseconds, or throws when the launcher is asked to stop.
 * Throws SyscallError, EADDRINUSE when patience has run out.
 */
export function listenForHeartbeat(system: System, tell: Tell, pause: (ms: number) => void): Fd {
  const giveUpMs = nowMs() + PORT_PATIENCE_MS;
  for (let told = false; ; told = true) {
    try {
      return listenVsock(system, HEARTBEAT_PORT);
    } catch (error) {
      const taken = error instanceof SyscallError && error.errno === ERRNO.EADDRINUSE;
      if (!taken || nowMs() >= giveUpMs) throw error;
      if (!told) {
        tell(
          `vsock port ${HEARTBEAT_PORT} is held by another launcher; waiting up to ${PORT_PATIENCE_MS / 1000} s`,
        );
      }
      pause(PORT_RETRY_MS);
    }
  }
}

type Tell = (line: string) => void;

/** What the machine gives the heartbeat to work with. */
export interface HeartbeatSetup {
  readonly system: System;
  readonly tell: Tell;
  /** Listening since before the start; owned from here on. */
  readonly listener: Fd;
  readonly timeoutMs: number;
  /** Whether the enclave is to be stopped without one. */
  readonly required: boolean;
}

/** The heartbeat from the start of the enclave on. */
export class Heartbeat implements Disposable {
  #arrived = false;
  #peers: Peer[] = [];
  #closed = false;
  readonly #listening: Waiter;
  readonly #one = new Uint8Array(1);
  #deadlineMs: number;

  /** @param cid the enclave's own CID, @param missed called when a required heartbeat has not come. */
  constructor(
    private readonly setup: HeartbeatSetup,
    private readonly cid: number,
    private readonly missed: () => void,
  ) {
    this.#deadlineMs = nowMs() + setup.timeoutMs;
    const deadlineMs = () => this.#deadlineMs;
    this.#listening = {
      fd: setup.listener.number,
      events: POLLIN,
      get deadlineMs() {
        return deadlineMs();
      },
      ready: () => this.#accept(),
      expired: () => this.#timeOut(),
    };
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
    if (!this.#closed) list.push(this.#listening);
    for (const peer of this.#peers) list.push(peer);
  }

  #accept(): void {
    const incoming = acceptVsock(this.setup.system, this.setup.listener);
    if (typeof incoming === "number") {
      if (wouldBlock(incoming)) return;
      const failure = new SyscallError("accept4", -incoming, `vsock port ${HEARTBEAT_PORT}`);
      return this.#giveUp(failure.message);
    }
    this.setup.system.trace.vsock?.(`heartbeat: connection from CID ${incoming.cid} port ${incoming.port}`);
    if (this.#peers.length >= MOST_PEERS) this.#dropOldestStranger();
    const own = incoming.cid === this.cid;
    this.#peers.push({
      incoming,
      fd: incoming.socket.number,
      events: POLLIN,
      deadlineMs: own ? Number.POSITIVE_INFINITY : nowMs() + STRANGER_PATIENCE_MS,
      ready: () => this.#hear(incoming, own),
      expired: () => this.#drop(incoming, "said nothing"),
    });
  }

  #dropOldestStranger(): void {
    const oldest = this.#peers.find((peer) => peer.incoming.cid !== this.cid) ?? this.#peers[0];
    if (oldest !== undefined) this.#drop(oldest.incoming, "gave way to newer ones");
  }

  #hear(incoming: Incoming, own: boolean): void {
    const { system, tell } = this.setup;
    const got = readSome(system, incoming.socket.number, this.#one);
    if (wouldBlock(got)) return;
    if (got <= 0) return this.#drop(incoming, got === 0 ? "closed without a byte" : "was lost");
    const byte = this.#one[0] ?? 0;
    if (byte !== HEARTBEAT_BYTE) {
      const who = own ? "the enclave" : `CID ${incoming.cid}`;
      tell(`heartbeat: ${who} sent byte 0x${byte.toString(16)} in place of 0xb7; it is not answered`);
      return this.#drop(incoming, "sent a wrong byte");
    }
    const sent = sendSome(system, incoming.socket.number, addressOf(this.#one), 1);
    if (!own)
      tell(
        `heartbeat: answered one from CID ${incoming.cid}, which is not this enclave (CID ${this.cid}); not counted`,
      );
    else if (sent !== 1)
      tell(`heartbeat: the enclave's came, but the answer could not be sent: ${errnoText(-sent)}`);
    this.#drop(incoming, sent === 1 ? "answered" : "could not be answered");
    if (!own || this.#arrived) return;
    this.#arrived = true;
    system.trace.vsock?.(`heartbeat: the enclave's own, from CID ${incoming.cid}`);
    this.#giveBackPort();
  }

  #drop(incoming: Incoming, why: string): void {
    this.setup.system.trace.vsock?.(`heartbeat: CID ${incoming.cid} port ${incoming.port} ${why}`);
    incoming.socket.close();
    this.#peers = this.#peers.filter((peer) => peer.incoming !== incoming);
  }

  #timeOut(): void {
    this.#giveUp(`none came within ${Math.round(this.setup.timeoutMs / 1000)} s`);
  }

  #giveUp(why: string): void {
    const { required, tell } = this.setup;
    this.#giveBackPort();
    if (required) {
      tell(`heartbeat: ${why}; heartbeat=require stops the enclave (${HOW_IT_COMES})`);
      this.missed();
    } else {
      tell(
        `heartbeat: ${why}; vsock port ${HEARTBEAT_PORT} is given back, the enclave lives on ` +
          "(an init other than AWS's need not send one)",
      );
    }
  }

  #giveBackPort(): void {
    this.#closed = true;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.setup.listener.close();
  }

  [Symbol.dispose](): void {
    for (const peer of this.#peers) peer.incoming.socket.close();
    this.#peers = [];
    this.#giveBackPort();
  }
}

interface Peer extends Waiter {
  readonly incoming: Incoming;
}

/** Why the port cannot be listened on, in words. */
export function explainListen(error: SyscallError): Failure {
  switch (error.errno) {
    case ERRNO.EAFNOSUPPORT:
      return new Failure(
        "heartbeat",
        "this kernel has no vsock (AF_VSOCK)",
        "modprobe vsock vmw_vsock_virtio_transport",
      );
    case ERRNO.EADDRINUSE:
      return new Failure(
        "heartbeat",
        `vsock port ${HEARTBEAT_PORT} is still held by another process after ${PORT_PATIENCE_MS / 1000} s`,
        `see who listens: ss --vsock -lp 'sport = :${HEARTBEAT_PORT}'; ` +
          "nitro and QEMU give it back after their enclave's heartbeat",
      );
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return new Failure(
        "heartbeat",
        `${error.call}: ${error.why}`,
        "a container or a seccomp filter may forbid vsock; run nitro outside it",
      );
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return new Failure("heartbeat", `${error.call}: ${error.why}`, "raise the limit: ulimit -n");
    default:
      return new Failure(
        "heartbeat",
        error.message,
        "check that vsock works: ls -l /dev/vsock; modprobe vmw_vsock_virtio_transport",
      );
  }
}
