/**
 * The handoff socket, by which launchers share the heartbeat's port: a unix socket with an abstract name. A launcher
 * that finds the port in use connects to it and receives duplicates of four descriptors (SCM_RIGHTS): the port's
 * listener, the handoff socket itself and the two of the heartbeat log. From then on both launchers are equal.
 *
 * Nothing is read from a client. Only root and the user who started the launcher are served, or trusted as a server;
 * for every other user the port is simply in use. Another program that has taken the name is skipped: the socket then
 * has a random name that begins with it. No descriptor of an enclave is ever passed on.
 */
import { SyscallError, UserError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import {
  acceptAbstract,
  connectAbstract,
  listenAbstract,
  listeningNames,
  peerUser,
} from "../../sys/socket/abstract.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/socket/descriptor-passing.ts";
import type { System } from "../../sys/system.ts";
import type { LogFds } from "./log.ts";
import { HEARTBEAT_PORT } from "./protocol.ts";

/**
 * The handoff socket's abstract name. Its number is the version of what is passed; other versions are not compatible.
 */
export const HANDOFF_NAME = "nitro-heartbeat-1";
/** How long a launcher that shares the port may be busy: the driver's longest call takes 120 s. */
const REPLY_TIMEOUT_MS = 150_000;
/** A reply that takes longer than this is reported. */
const PROMPT_REPLY_MS = 1_000;

/** The user at the launch's start; -run-with user= changes it later. */
const LAUNCH_USER = process.geteuid?.();

/** How a launch waits. Both throw when the launch is cancelled. */
export interface Waits {
  readonly pause: (ms: number) => void;
  /** Waits until a descriptor is readable. Returns whether it is. */
  readonly waitReadable: (fd: number, ms: number) => boolean;
}

/** The descriptors that launchers share. */
export interface SharedFds {
  readonly listener: Fd;
  readonly handoff: Fd;
  readonly log: LogFds;
}

function isTrusted(user: number | undefined): boolean {
  return user === 0 || (user !== undefined && user === LAUNCH_USER);
}

/** Opens the handoff socket; undefined if that fails, and then the port cannot be shared. */
export function openHandoff(system: System): Fd | undefined {
  for (const name of [HANDOFF_NAME, `${HANDOFF_NAME}-${crypto.randomUUID()}`]) {
    try {
      return listenAbstract(system, name);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.errno !== ERRNO.EADDRINUSE) return undefined;
    }
  }
  return undefined;
}

/**
 * Accepts a client, or returns a negative errno. @param shared opened for the first trusted client. Throws
 * SyscallError.
 */
export function serveHandoff(system: System, handoff: Fd, shared: () => Omit<SharedFds, "handoff">): number {
  const accepted = acceptAbstract(system, handoff);
  if (typeof accepted === "number") return accepted;
  using client = accepted;
  if (!isTrusted(peerUser(system, client))) {
    system.trace.vsock?.("heartbeat: the handoff socket's client is another user and is not served");
    return 0;
  }
  const { listener, log } = shared();
  const result = sendDescriptors(system, client, Uint8Array.of(1), [listener, handoff, ...log]);
  const outcome = result === 0 ? "is shared with another launch" : `cannot be shared: errno ${-result}`;
  system.trace.vsock?.(`heartbeat: port ${HEARTBEAT_PORT} ${outcome}`);
  return 0;
}

/**
 * Receives the descriptors from a trusted launcher that has the port; undefined if there is none.
 * Throws UserError if the launcher does not reply in time, and what `waits` throws.
 */
export function receiveShared(
  system: System,
  report: (line: string) => void,
  waits: Waits,
): SharedFds | undefined {
  const first = receiveFrom(system, HANDOFF_NAME, report, waits);
  if (first !== undefined) return first;
  for (const name of listeningNames(system, `${HANDOFF_NAME}-`)) {
    const other = receiveFrom(system, name, report, waits);
    if (other !== undefined) return other;
  }
  return undefined;
}

function receiveFrom(
  system: System,
  name: string,
  report: (line: string) => void,
  waits: Waits,
): SharedFds | undefined {
  const connected = connectAbstract(system, name);
  if (typeof connected === "number") return undefined;
  using socket = connected;
  if (!isTrusted(peerUser(system, socket))) {
    system.trace.vsock?.(`heartbeat: @${name} belongs to another user and is not trusted`);
    return undefined;
  }
  if (!waits.waitReadable(socket.number, PROMPT_REPLY_MS)) {
    const seconds = REPLY_TIMEOUT_MS / 1000;
    report(
      `port ${HEARTBEAT_PORT} is in use by another nitro, which does not reply; waiting for it, up to ${seconds} s`,
    );
    if (!waits.waitReadable(socket.number, REPLY_TIMEOUT_MS)) throw noReply();
  }
  const fds = receiveDescriptors(system, socket, 1, 4)?.fds;
  const [listener, handoff, file, event] = fds ?? [];
  // Closed without a message: the launcher has just released the port, or does not trust this user.
  if (listener === undefined || handoff === undefined || file === undefined || event === undefined) {
    return undefined;
  }
  return { listener, handoff, log: [file, event] };
}

function noReply(): UserError {
  return new UserError(
    "heartbeat",
    `another nitro uses port ${HEARTBEAT_PORT} and did not reply within ${REPLY_TIMEOUT_MS / 1000} s`,
    `find out which, and whether it is stopped: ss --vsock -lp 'sport = :${HEARTBEAT_PORT}'; ` +
      "ps -o pid,stat,args -p PID",
  );
}
