/**
 * Which processes hold the heartbeat's port, and how long they may hold it, as far as this process can see: from the
 * kernel's list of vsock sockets and /proc, otherwise from the handoff socket. Loaded only when the port is in use.
 */
import { HANDOFF_NAME, type PortUse } from "../devices/heartbeat/handoff.ts";
import { decodeStatus, type HolderStatus, STATUS_BYTES } from "../devices/heartbeat/holder-status.ts";
import { PORT_TIMEOUT_MS } from "../devices/heartbeat/port.ts";
import { HEARTBEAT_PORT } from "../devices/heartbeat/protocol.ts";
import { launcherOf, launcherText } from "../host/process/launchers.ts";
import {
  commandLine,
  type DescriptorHolder,
  descriptorsOf,
  networkNamespace,
  processesWithDescriptor,
} from "../host/process/processes.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { isReadable } from "../sys/poll.ts";
import { copyDescriptor } from "../sys/process-descriptor.ts";
import { connectAbstract, listeningNames, listeningSockets } from "../sys/socket/abstract.ts";
import { receiveFromProcess } from "../sys/socket/descriptor-passing.ts";
import { ownedNames } from "../sys/socket/unix-diag.ts";
import { boundVsockPort } from "../sys/socket/vsock.ts";
import { vsockListenerInode } from "../sys/socket/vsock-diag.ts";
import type { System } from "../sys/system.ts";
import { publishedStatus } from "./published-status.ts";

/** An enclave that is being prepared holds the port until its start: the driver's longest call takes 120 s. */
const PREPARATION_MS = 150_000;
/** AWS's CLI waits at least this long for a heartbeat; see awsTimeoutMs. */
const AWS_CLI_MS = 180_000;
/** How many handoff sockets are asked, and how long each may take to answer. */
const MAX_ASKED = 8;
const ANSWER_MS = 1_000;

/** The holder of the port. */
export interface FoundPortUse extends PortUse {
  /** Whether it is nitro, which releases the port at its heartbeat or its time-out. */
  readonly isNitro: boolean;
}

/** Finds the processes that hold the port. */
export function findPortUse(system: System): FoundPortUse {
  return findInProc(system) ?? askHolder(system) ?? UNKNOWN;
}

const UNKNOWN: FoundPortUse = {
  holder: "another process",
  leftMs: undefined,
  isEstimate: true,
  isNitro: false,
};

interface Holder {
  readonly program: string;
  /** The holder in a message. */
  readonly text: string;
  /** Of a launch of nitro; undefined for another program. */
  readonly status: HolderStatus | "preparing" | undefined;
}

function findInProc(system: System): FoundPortUse | undefined {
  const handoffs = new HandoffSockets(system);
  const listener = vsockListenerInode(system, HEARTBEAT_PORT);
  const isListener = (link: string) => link === `socket:[${listener}]`;
  const isHandoff = (link: string, pid: number) => handoffs.has(link, pid);
  const { holders } = processesWithDescriptor(system, listener === undefined ? isHandoff : isListener);
  // The kernel lists the sockets of this network namespace only; in others any process may have a socket of that name.
  const actual = listener === undefined ? holders.filter(({ pid }) => mayHoldPort(system, pid)) : holders;
  return describe(actual.map((each) => holderOf(system, each, handoffs)));
}

/** Whether a process has a socket that is bound to the port, or this process may not see that. */
function mayHoldPort(system: System, pid: number): boolean {
  for (const { number, link } of descriptorsOf(system, pid)) {
    if (!link.startsWith("socket:")) continue;
    const copy = copyDescriptor(system, pid, number);
    if (copy === -ERRNO.EPERM || copy === -ERRNO.ENOSYS) return true;
    if (typeof copy === "number") continue; // closed in the meantime
    using socket = copy;
    if (boundVsockPort(system, socket) === HEARTBEAT_PORT) return true;
  }
  return false;
}

function holderOf(system: System, { pid, args }: DescriptorHolder, handoffs: HandoffSockets): Holder {
  const isNitro = () => descriptorsOf(system, pid).some(({ link }) => handoffs.has(link, pid));
  const status = publishedStatus(system, pid) ?? (isNitro() ? "preparing" : undefined);
  const launcher = launcherOf(pid, args, typeof status === "object" ? status.cid : undefined);
  return { program: launcher.program, text: launcherText(launcher), status };
}

/** The handoff sockets of all network namespaces that have a process. */
class HandoffSockets {
  readonly #byNamespace = new Map<string, ReadonlySet<string>>();
  readonly #byProcess = new Map<number, ReadonlySet<string>>();

  constructor(private readonly system: System) {}

  /** Whether a link in /proc/PID/fd is that of a handoff socket. */
  has(link: string, pid: number): boolean {
    if (!link.startsWith("socket:")) return false;
    const links = this.#byProcess.get(pid) ?? this.#linksSeenBy(pid);
    this.#byProcess.set(pid, links);
    return links.has(link);
  }

  #linksSeenBy(pid: number): ReadonlySet<string> {
    const namespace = networkNamespace(this.system, pid);
    const links = this.#byNamespace.get(namespace) ?? new Set(handoffLinks(this.system, pid));
    this.#byNamespace.set(namespace, links);
    return links;
  }
}

/**
 * Returns the links in /proc/PID/fd of the handoff sockets in the network namespace of a process, by default of this
 * one.
 */
export function handoffLinks(system: System, process?: number): string[] {
  return listeningSockets(system, HANDOFF_NAME, process)
    .filter(({ name }) => name === HANDOFF_NAME || name.startsWith(`${HANDOFF_NAME}-`))
    .map(({ inode }) => `socket:[${inode}]`);
}

/** Asks the launcher that has the port, whose descriptors this user cannot see. */
function askHolder(system: System): FoundPortUse | undefined {
  for (const name of handoffNames(system).slice(0, MAX_ASKED)) {
    const connected = connectAbstract(system, name, true);
    if (typeof connected === "number") continue;
    using socket = connected;
    if (!isReadable(system, socket.number, ANSWER_MS)) continue;
    const answer = receiveFromProcess(system, socket, STATUS_BYTES);
    const status = answer && decodeStatus(system, answer.body);
    if (status !== undefined) return describe([answeringHolder(system, answer?.pid, status)]);
  }
  return undefined;
}

/** Returns the names of the handoff sockets, root's first: other users may have any number of such names. */
function handoffNames(system: System): string[] {
  const prefix = `${HANDOFF_NAME}-`;
  return [HANDOFF_NAME, ...(ownedNames(system, prefix, [0]) ?? []), ...listeningNames(system, prefix)];
}

function answeringHolder(
  system: System,
  pid: number | undefined,
  status: NonNullable<Holder["status"]>,
): Holder {
  const cid = typeof status === "object" ? status.cid : undefined;
  if (pid === undefined)
    return { program: "nitro", text: cid === undefined ? "nitro" : `nitro (CID ${cid})`, status };
  const args = commandLine(system, pid);
  const launcher = launcherOf(pid, args.length === 0 ? ["nitro"] : args, cid);
  return { program: "nitro", text: launcherText(launcher), status };
}

function describe(holders: readonly Holder[]): FoundPortUse | undefined {
  if (holders.length === 0) return undefined;
  const left = holders.map(leftMs).filter((ms) => ms !== undefined);
  return {
    holder: holders.map(({ text }) => text).join(", "),
    leftMs: left.length === 0 ? undefined : Math.max(...left),
    isEstimate: !holders.some(({ status }) => typeof status === "object"),
    isNitro: holders.every(({ status }) => status !== undefined),
  };
}

function leftMs({ program, status }: Holder): number | undefined {
  if (status === "preparing") return PREPARATION_MS;
  if (status !== undefined) return status.leftMs;
  return program === "nitro-cli" ? AWS_CLI_MS : undefined;
}

/** Returns how long a launch waits for the port without heartbeat-wait=, in seconds. */
export function waitSeconds({ leftMs: ms = PORT_TIMEOUT_MS }: PortUse): number {
  return Math.ceil(ms / 1000);
}

/** Returns the problem of a port that cannot be shared. */
export function portInUse(use: FoundPortUse) {
  const why = use.isNitro ? "of another user or in another network namespace" : "which does not share it";
  return {
    why: `vsock port ${HEARTBEAT_PORT} is in use by ${use.holder}, ${why}`,
    // ss(8) of iproute2 reads the kernel's vsock_diag module.
    advice:
      `list its users: ss --vsock -lnp | grep ':${HEARTBEAT_PORT} '; it is released after its enclave's heartbeat, ` +
      "and -accel nitro,heartbeat-wait=SECONDS says how long a launch waits for that; with " +
      "-accel nitro,heartbeat=none a launch needs no port",
  };
}
