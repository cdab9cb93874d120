/**
 * The vsock port of the heartbeat is one for the whole parent instance, and shared by all launchers that wait for one.
 *
 * Whoever gets the port also opens a door beside it: a unix socket with an abstract name. A launcher that finds the
 * port taken knocks there and is handed duplicates of all there is: the port's listener, the door itself, and the log
 * of heartbeats. From then on they are alike. Each polls the listener; whoever accepts a connection answers it, and
 * one that was not its own enclave's it writes into the log before, where that one's launcher finds it. So the port
 * is open as long as one of them waits, none depends on another's life, and all of it ends with the last of them.
 *
 * Nothing is ever read from who knocks. Only root and the launcher's own user are let in, or believed; the port of
 * somebody else is waited for. A stranger who has taken the door's name is passed by: then the door has a name that
 * begins with it. Nothing of an enclave is ever handed out.
 */

import { SyscallError, UserError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import { POLLIN } from "../../sys/linux/poll.ts";
import { isReadable, nowMs, type Waiter } from "../../sys/poll.ts";
import {
  acceptAbstract,
  connectAbstract,
  listenAbstract,
  listeningNames,
  peerUser,
} from "../../sys/socket/abstract.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/socket/descriptor-passing.ts";
import { acceptVsock, boundVsockPort, type Incoming, listenVsock } from "../../sys/socket/vsock.ts";
import { type System, wouldBlock } from "../../sys/system.ts";
import { hear } from "./answer.ts";
import { HeartbeatLog, type LogFds, makeLog } from "./log.ts";

/** The vsock port of the parent that AWS's init connects to. */
export const HEARTBEAT_PORT = 9000;
/** The door's name. Its number is that of what is handed out: other versions of it are not understood. */
export const DOOR = "nitro-heartbeat-1";
/** How long somebody else may hold the port before this launch gives up, and how often it is asked for at least. */
export const PORT_PATIENCE_MS = 30_000;
const PORT_RETRY_MS = 100;
/** How long a launcher that shares the port may be busy: the driver's longest call takes 120 s. */
export const DOOR_PATIENCE_MS = 150_000;
const DOOR_SILENCE_MS = 1_000;
/** Callers who are let in, or sent away, at a time. */
const MOST_CALLERS = 8;
/** Those who are heard before the start. */
const MOST_EARLY = 64;

/** The user as of the launch's beginning: with -run-with user= it is another one later. */
const LAUNCHED_BY = process.geteuid?.();

/** How a launch waits: each throws when it is asked to stop. */
export interface Waits {
  readonly pause: (ms: number) => void;
  /** Waits until a descriptor is readable, and tells whether it is. */
  readonly readable: (fd: number, ms: number) => boolean;
}

type Tell = (line: string) => void;

/** The port as one launcher holds it, alone or with others. */
export class HeartbeatPort implements Disposable {
  #door: Fd | undefined;
  #log: HeartbeatLog | undefined;
  #cid: number | undefined;
  readonly #early: Incoming[] = [];
  /** CIDs that were answered before the start. */
  readonly answeredEarly: number[] = [];
  readonly #doorWaiter: Waiter;

  /** @param listener of the port, @param door undefined where there is none; all are owned from here on. */
  constructor(
    private readonly system: System,
    readonly listener: Fd,
    door: Fd | undefined,
    log?: HeartbeatLog,
  ) {
    this.#door = door;
    this.#log = log;
    const doorFd = () => this.#door?.number ?? -1;
    this.#doorWaiter = {
      get fd() {
        return doorFd();
      },
      events: POLLIN,
      deadlineMs: Number.POSITIVE_INFINITY,
      ready: () => this.#answerDoor(),
      expired() {},
    };
  }

  /** What all launchers that share the port have written; undefined where nobody has come. */
  get log(): HeartbeatLog | undefined {
    return this.#log;
  }

  /** Adds what is to be polled for others: the door. */
  addWaiters(list: Waiter[]): void {
    if (this.#door !== undefined) list.push(this.#doorWaiter);
  }

  /** Lets in who knocks, where that is looked at between the steps of a launch. */
  serve(): void {
    if (this.#door !== undefined && isReadable(this.system, this.#door.number)) this.#answerDoor();
  }

  /**
   * The enclave is about to be started. Whoever has connected by now is another: an enclave that has ended may have had
   * the CID that this one gets.
   */
  starting(): void {
    for (let i = 0; i < MOST_EARLY && isReadable(this.system, this.listener.number); i++) {
      const incoming = acceptVsock(this.system, this.listener);
      if (typeof incoming === "number") break;
      const heard = hear(this.system, incoming, () => this.#log?.beat(incoming.cid));
      if (heard.kind === "answered") this.answeredEarly.push(incoming.cid);
      if (heard.kind === "nothing yet") this.#early.push(incoming);
      else incoming.socket.close();
    }
    this.#log?.starting();
  }

  /** Those who had connected before the start and have said nothing yet; whoever takes them owns them. */
  takeEarly(): Incoming[] {
    return this.#early.splice(0);
  }

  /** It has this CID. */
  started(cid: number): void {
    this.#cid = cid;
    this.#log?.started(cid);
  }

  #answerDoor(): void {
    for (let i = 0; i < MOST_CALLERS && this.#door !== undefined; i++) {
      const caller = acceptAbstract(this.system, this.#door);
      if (typeof caller === "number") {
        // A door that cannot be answered would keep the loop awake.
        if (!wouldBlock(caller) && caller !== -ERRNO.ECONNABORTED)
          this.#shutDoor(`accept4: errno ${-caller}`);
        return;
      }
      using socket = caller;
      if (isTrusted(peerUser(this.system, socket))) this.#letIn(socket);
      else this.system.trace.vsock?.("heartbeat: another user knocked, and is not let in");
    }
  }

  #letIn(caller: Fd): void {
    if (this.#door === undefined) return;
    try {
      this.#log ??= this.#openLog();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      return this.#shutDoor(error.message);
    }
    const all = [this.listener, this.#door, ...this.#log.fds];
    const result = sendDescriptors(this.system, caller, Uint8Array.of(1), all);
    const what = result === 0 ? "is shared with another launch" : `cannot be shared: errno ${-result}`;
    this.system.trace.vsock?.(`heartbeat: port ${HEARTBEAT_PORT} ${what}`);
  }

  #openLog(): HeartbeatLog {
    const log = new HeartbeatLog(this.system, makeLog(this.system));
    if (this.#cid !== undefined) log.started(this.#cid);
    return log;
  }

  #shutDoor(why: string): void {
    this.system.trace.vsock?.(`heartbeat: port ${HEARTBEAT_PORT} is shared no more: ${why}`);
    this.#door?.close();
    this.#door = undefined;
  }

  /**
   * Gives the port back, but for the log, in which heartbeats that are under way may have to be written; others who
   * share the port keep theirs. The door first: who finds it shut tries the port.
   */
  giveBack(): void {
    this.#door?.close();
    this.#door = undefined;
    this.listener.close();
  }

  /** Gives back everything. */
  close(): void {
    this.giveBack();
    for (const { socket } of this.takeEarly()) socket.close();
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function isTrusted(user: number | undefined): boolean {
  return user === 0 || (user !== undefined && user === LAUNCHED_BY);
}

/**
 * Takes the port, or a share in it; waits while somebody else holds it, who may give it back.
 * Throws SyscallError, EADDRINUSE when patience has run out.
 */
export function takeHeartbeatPort(system: System, report: Tell, waits: Waits): HeartbeatPort {
  const giveUpMs = nowMs() + PORT_PATIENCE_MS;
  let told = false;
  for (let delayMs = 1; ; delayMs = Math.min(2 * delayMs, PORT_RETRY_MS)) {
    try {
      const listener = listenVsock(system, HEARTBEAT_PORT);
      return new HeartbeatPort(system, listener, openDoor(system));
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === ERRNO.EADDRINUSE)) throw error;
      // The port is asked for once more after a long wait at a door: who was behind it may be gone.
      const isLast = nowMs() >= giveUpMs;
      const shared = share(system, report, waits);
      if (shared !== undefined) return shared;
      if (isLast) throw error;
    }
    // Not at once: between two launches that begin together the port may be there before its door.
    if (!told && delayMs === PORT_RETRY_MS) {
      told = true;
      report(
        `vsock port ${HEARTBEAT_PORT} is held by another launcher; waiting up to ${PORT_PATIENCE_MS / 1000} s`,
      );
    }
    waits.pause(delayMs);
  }
}

/** A door to knock at; undefined where there is none to be had: then others have to wait, as for a foreign holder. */
function openDoor(system: System): Fd | undefined {
  try {
    return listenAbstract(system, DOOR);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.errno !== ERRNO.EADDRINUSE) return undefined;
  }
  const name = `${DOOR}-${crypto.randomUUID()}`;
  try {
    return listenAbstract(system, name);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return undefined;
  }
}

/** A share in the port of a launcher who can be believed; undefined where there is none to be found. */
function share(system: System, report: Tell, waits: Waits): HeartbeatPort | undefined {
  const first = knock(system, DOOR, report, waits);
  if (first !== undefined) return first;
  for (const name of listeningNames(system, `${DOOR}-`)) {
    const other = knock(system, name, report, waits);
    if (other !== undefined) return other;
  }
  return undefined;
}

function knock(system: System, name: string, report: Tell, waits: Waits): HeartbeatPort | undefined {
  const connected = connectAbstract(system, name);
  if (typeof connected === "number") return undefined;
  using socket = connected;
  if (!isTrusted(peerUser(system, socket))) {
    system.trace.vsock?.(`heartbeat: @${name} is another user's, and not believed`);
    return undefined;
  }
  if (!waits.readable(socket.number, DOOR_SILENCE_MS)) {
    report(
      `vsock port ${HEARTBEAT_PORT} is held by another launch of nitro's, which is busy; ` +
        `waiting up to ${DOOR_PATIENCE_MS / 1000} s for a share in it`,
    );
    if (!waits.readable(socket.number, DOOR_PATIENCE_MS)) throw unanswered();
  }
  const fds = receiveDescriptors(system, socket, 1, 4)?.fds;
  const [listener, door, file, announcement] = fds ?? [];
  // An end without a message: the launcher has given the port back in this moment, or does not trust this user.
  if (listener === undefined || door === undefined || file === undefined || announcement === undefined) {
    return undefined;
  }
  return shareOf(system, listener, door, [file, announcement]);
}

function unanswered(): UserError {
  return new UserError(
    "heartbeat",
    `another launch of nitro's holds vsock port ${HEARTBEAT_PORT} and has not answered within ` +
      `${DOOR_PATIENCE_MS / 1000} s`,
    `see who it is and whether it is stopped: ss --vsock -lp 'sport = :${HEARTBEAT_PORT}'; ps -o pid,stat,args -p PID`,
  );
}

function shareOf(system: System, listener: Fd, door: Fd, logFds: LogFds): HeartbeatPort | undefined {
  using stack = new DisposableStack();
  for (const fd of [listener, door, ...logFds]) stack.use(fd);
  if (boundVsockPort(system, listener) !== HEARTBEAT_PORT) return undefined;
  const log = new HeartbeatLog(system, logFds);
  stack.move();
  log.look();
  return new HeartbeatPort(system, listener, door, log);
}
