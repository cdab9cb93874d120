/**
 * The scenario: the emulated parent instance, its enclaves' behaviour, and injected faults; each field has a default.
 */

import { defaultHost, type Host } from "./topology/host.ts";
import type { Topology, TopologyInput } from "./topology/topology.ts";

/** Fails or delays a trapped call. */
export interface Problem {
  /** A call's name (`NE_ADD_VCPU`, `memfd_create`, `bind`), or `openat:PATH` for the open of one path. */
  call: string;
  /** The error's name or number (1 to 4095); without it the call is only delayed. */
  errno?: number | string;
  /** Which call of this name, counted from 1; every call if it is missing. */
  nth?: number;
  /** Delay before the call, in milliseconds. */
  delayMs?: number;
}

/** Sends a signal to the calling process around a call, or some time after the first successful NE_START_ENCLAVE. */
export interface ScheduledSignal {
  /** `enter CALL` (before the call is answered) or `exit CALL` (right after). */
  at?: string;
  /** Which call of this name, counted from 1; the first if it is missing. */
  nth?: number;
  /** Milliseconds after the first enclave has started; instead of `at`. */
  afterMs?: number;
  /** A signal's name, such as `SIGKILL`. */
  signal: string;
}

/** A peer with another CID that connects to port 9000. */
export interface ForeignHeartbeat {
  /** The CID that the connection comes from. */
  cid: number;
  /** The byte it sends. */
  byte: number;
  /** When, counted from NE_START_ENCLAVE. */
  afterMs: number;
}

/** How an enclave behaves once it has started. */
export interface EnclaveBehaviour {
  /** `model` boots nothing, `boot` runs the image's kernel and ramdisks in qemu-system-x86_64. */
  kind: "model" | "boot";
  /** When the init sends its heartbeat, after NE_START_ENCLAVE; null for never. With `boot`: after the marker. */
  heartbeatMs: number | null;
  /** The byte it sends; AWS's init sends 0xB7. */
  heartbeatByte: number;
  /** Whether an enclave exits when its heartbeat is refused, answered wrongly or cut off. */
  noHeartbeatFatal: boolean;
  /** How long it lives after NE_START_ENCLAVE before it exits by itself; null until it is stopped. */
  liveMs: number | null;
  /** Lines on the console (a line feed is added to each). */
  console: string[];
  /** Milliseconds between two of these lines; 0 prints them all at once. */
  consoleEveryMs: number;
  /** After the lines: this many bytes of the pattern that `floodPattern` gives. */
  consoleFloodBytes: number;
  /** The console accepts no connection before this time after NE_START_ENCLAVE. */
  consoleDelayMs: number;
  /** After this many bytes the console pauses for `consoleStallMs`; null for never. */
  consoleStallAfterBytes: number | null;
  /** The length of that pause. */
  consoleStallMs: number;
  /** Peers with other CIDs that connect to port 9000. */
  foreignHeartbeats: ForeignHeartbeat[];
  /** How many peers with further CIDs connect to port 9000 at NE_START_ENCLAVE and send nothing. */
  silentPeers: number;
  /** With `boot`: the console text (a regular expression, case ignored) that shows that the init is up. */
  heartbeatMarker: string;
  /** With `boot`: the emulator's name or path. */
  qemu: string;
}

/** A file's emulated content; null if it does not exist. */
export type EmulatedContent = string | null;

/** Everything that can be set. */
export interface Scenario {
  /** Whether /dev/nitro_enclaves exists. */
  device: boolean;
  /** Its permission bits, in octal. */
  deviceMode: string;
  /** Its owner. */
  deviceUid: number;
  /** Its group. */
  deviceGid: number;
  /** The hardware; null if `cpus` and `threadsPerCore` describe it. */
  topology: Topology | null;
  /** The system on the hardware; used with a topology only. */
  host: Host;
  /** CPUs of the parent instance; CPU i and CPU i + cpus / threadsPerCore share a core. */
  cpus: number;
  /** Threads of a core. */
  threadsPerCore: number;
  /** The driver's CPU pool, as /sys/module/nitro_enclaves/parameters/ne_cpus shows it; empty for none. */
  pool: string;
  /** Where huge pages come from: the machine, a stand-in, or (auto) the machine if it has any free. */
  memory: "auto" | "real" | "stand-in";
  /** Huge pages of 2 MiB in the stand-in's pool. */
  hugePages: number;
  /** Huge pages of 1 GiB in the stand-in's pool. */
  hugePages1G: number;
  /** Whether all opens of files are trapped, or only those for writing, which costs less. */
  opens: "all" | "writable";
  /** Regions that an enclave may have; one more is refused with 265. */
  maxRegions: number;
  /** The length of a physically contiguous run: a donation counts as one region for each; 0 for one a donation. */
  regionBytes: number;
  /** From this page of a donation on, counted from 0, donated memory is refused with 264; null for never. */
  foreignNodePage: number | null;
  /** Where an EIF is loaded. */
  loadOffset: number;
  /** The CID that the first enclave without one gets. */
  firstCid: number;
  /** CIDs that are in use already. */
  takenCids: number[];
  /** Enclaves that may exist at a time. */
  maxEnclaves: number;
  /** What happens to an image that the hypervisor rejects: START fails, the enclave runs, or it exits at once. */
  badImage: "refuse" | "run" | "exit";
  /** Whether to compute the CRC of all donated memory, to find later writes to it; costs 0.1 s for a GiB. */
  checkWrites: boolean;
  /** Whether the machine has AF_VSOCK. */
  vsock: boolean;
  /** Vsock ports of the parent that another process holds. */
  takenPorts: number[];
  /** How every enclave behaves. */
  enclave: EnclaveBehaviour;
  /** The behaviour of the first, second, … enclave in the order of their start; all others behave as `enclave` says. */
  enclaves: Partial<EnclaveBehaviour>[];
  /** Calls that fail or are delayed. */
  faults: Problem[];
  /** Signals that are sent to the launcher. */
  signals: ScheduledSignal[];
  /** Further emulated files by path, or other contents for the known ones; null for a file that does not exist. */
  files: Record<string, EmulatedContent>;
  /** How long processes may outlive the command before they are killed and counted. */
  lingerMs: number;
  /** `own`: the command has its own network namespace with a loopback interface only; `machine`: the machine's. */
  network: "own" | "machine";
}

/** An enclave that behaves as with AWS's init, without booting anything. */
export const defaultBehaviour: EnclaveBehaviour = {
  kind: "model",
  heartbeatMs: 20,
  heartbeatByte: 0xb7,
  noHeartbeatFatal: true,
  liveMs: null,
  console: [],
  consoleEveryMs: 0,
  consoleFloodBytes: 0,
  consoleDelayMs: 0,
  consoleStallAfterBytes: null,
  consoleStallMs: 0,
  foreignHeartbeats: [],
  silentPeers: 0,
  heartbeatMarker: "init: (up|ready)",
  qemu: "qemu-system-x86_64",
};

/** A parent instance of 16 CPUs, 8 of them in the pool, with plenty of huge pages. */
export const defaultScenario: Scenario = {
  device: true,
  deviceMode: "0660",
  deviceUid: 0,
  deviceGid: 0,
  topology: null,
  host: defaultHost,
  cpus: 16,
  threadsPerCore: 2,
  pool: "1-4,9-12",
  memory: "auto",
  hugePages: 65536,
  hugePages1G: 0,
  opens: "all",
  maxRegions: 1024,
  regionBytes: 0,
  foreignNodePage: null,
  loadOffset: 8 * 1024 * 1024,
  firstCid: 16,
  takenCids: [],
  maxEnclaves: 4,
  badImage: "refuse",
  checkWrites: true,
  vsock: true,
  takenPorts: [],
  enclave: defaultBehaviour,
  enclaves: [],
  faults: [],
  signals: [],
  files: {},
  lingerMs: 300,
  network: "own",
};

/** The content of a scenario file: any of the fields; the others keep their defaults. */
export type ScenarioInput = Partial<Omit<Scenario, "enclave" | "topology" | "host">> & {
  enclave?: Partial<EnclaveBehaviour>;
  /** An instance type's name, or the differences from one. */
  topology?: string | Partial<TopologyInput>;
  host?: Partial<Omit<Host, "cgroup">> & { cgroup?: Partial<Host["cgroup"]> };
};
