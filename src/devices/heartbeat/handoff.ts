/**
 * The handoff socket, by which launchers share the heartbeat's port: a unix socket with an abstract name. A launcher
 * that finds the port in use connects to it and receives duplicates of four descriptors (SCM_RIGHTS): the port's
 * listener, the handoff socket itself and the two of the heartbeat log. From then on both launchers are equal.
 *
 * Nothing is read from a client. Only root and the user who started the launcher are served, or trusted as a server;
 * every other client receives the launcher's status (holder-status.ts) and waits. Another program that has taken the
 * name is skipped: the socket then has a random name that begins with it. No descriptor of an enclave is ever passed
 * on.
 */
import { SyscallError, UserError } from "../../sys/errors.ts";
import type { Fd } from "../../sys/files.ts";
import { addressOf } from "../../sys/libc.ts";
import { ERRNO } from "../../sys/linux/errno.ts";
import {
  acceptAbstract,
  connectAbstract,
  listenAbstract,
  listeningNames,
  peerUser,
} from "../../sys/socket/abstract.ts";
import { receiveDescriptors, sendDescriptors } from "../../sys/socket/descriptor-passing.ts";
import { sendSome } from "../../sys/socket/vsock.ts";
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

/** The process that holds the port, as far as a launch can know. */
export interface PortUse {
  /** Such as `nitro (pid 812, CID 17)`, or "another process". */
  readonly holder: string;
  /** How long the holder may hold the port, in milliseconds; undefined if that is unknown. */
  readonly leftMs: number | undefined;
  /** Whether leftMs is only what such a holder usually needs. */
  readonly isEstimate: boolean;
}

/** A launch that claims the port. */
export interface Claim {
  readonly system: System;
  readonly report: (line: string) => void;
  readonly waits: Waits;
  /** heartbeat-wait=, in milliseconds; undefined: as long as the holder may hold the port. */
  readonly waitMs: number | undefined;
  readonly findPortUse: () => Promise<PortUse>;
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

/** What a launcher gives to clients of its handoff socket. */
export interface Offer {
  /** Opened for the first trusted client. Throws SyscallError. */
  readonly shared: () => Omit<SharedFds, "handoff">;
  /** The encoded status, for other clients. */
  readonly status: () => Uint8Array;
}

/** Accepts a client and serves it, or returns a negative errno. A client that is not served connects again. */
export function serveHandoff(system: System, handoff: Fd, { shared, status }: Offer): number {
  const accepted = acceptAbstract(system, handoff);
  if (typeof accepted === "number") return accepted;
  using client = accepted;
  if (!isTrusted(peerUser(system, client))) {
    system.trace.vsock?.(
      "heartbeat: the handoff socket's client is another user, which receives the status only",
    );
    const bytes = status();
    sendSome(system, client.number, addressOf(bytes), bytes.length);
    return 0;
  }
  const result = share(system, client, handoff, shared);
  const outcome = result === 0 ? "is shared with another launch" : `cannot be shared: errno ${-result}`;
  system.trace.vsock?.(`heartbeat: port ${HEARTBEAT_PORT} ${outcome}`);
  return 0;
}

function share(system: System, client: Fd, handoff: Fd, shared: Offer["shared"]): number {
  try {
    const { listener, log } = shared();
    return sendDescriptors(system, client, Uint8Array.of(1), [listener, handoff, ...log]);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return -error.errno;
  }
}

/**
 * Receives the descriptors from a trusted launcher that has the port; undefined if there is none.
 * Throws UserError if the launcher does not reply in time, and what `waits` throws.
 */
export async function receiveShared(claim: Claim): Promise<SharedFds | undefined> {
  const first = await receiveFrom(claim, HANDOFF_NAME);
  if (first !== undefined) return first;
  for (const name of await otherNames(claim.system)) {
    const other = await receiveFrom(claim, name);
    if (other !== undefined) return other;
  }
  return undefined;
}

/** Returns the names of handoff sockets that are not HANDOFF_NAME. Other users may have any number of such names. */
async function otherNames(system: System): Promise<string[]> {
  const { ownedNames } = await import("../../sys/socket/unix-diag.ts");
  const trusted = LAUNCH_USER === undefined ? [0] : [0, LAUNCH_USER];
  return ownedNames(system, `${HANDOFF_NAME}-`, trusted) ?? listeningNames(system, `${HANDOFF_NAME}-`);
}

async function receiveFrom(claim: Claim, name: string): Promise<SharedFds | undefined> {
  const { system, waits } = claim;
  const connected = connectAbstract(system, name);
  if (typeof connected === "number") return undefined;
  using socket = connected;
  if (!isTrusted(peerUser(system, socket))) {
    system.trace.vsock?.(`heartbeat: @${name} belongs to another user and is not trusted`);
    return undefined;
  }
  if (!waits.waitReadable(socket.number, PROMPT_REPLY_MS)) await waitForReply(claim, socket);
  const fds = receiveDescriptors(system, socket, 1, 4)?.fds;
  const [listener, handoff, file, event] = fds ?? [];
  // Closed without a message: the launcher has just released the port, or does not trust this user.
  if (listener === undefined || handoff === undefined || file === undefined || event === undefined) {
    return undefined;
  }
  return { listener, handoff, log: [file, event] };
}

async function waitForReply({ report, waits, waitMs, findPortUse }: Claim, socket: Fd): Promise<void> {
  const { holder } = await findPortUse();
  const limitMs = waitMs ?? REPLY_TIMEOUT_MS;
  const seconds = limitMs / 1000;
  report(
    `port ${HEARTBEAT_PORT} is in use by ${holder}, which does not reply; waiting for it, up to ${seconds} s`,
  );
  if (waits.waitReadable(socket.number, limitMs)) return;
  throw new UserError(
    "heartbeat",
    `port ${HEARTBEAT_PORT} is in use by ${holder}, which did not reply within ${seconds} s`,
    `find out whether it is stopped: ss --vsock -lp 'sport = :${HEARTBEAT_PORT}'; ps -o pid,stat,args -p PID`,
  );
}
