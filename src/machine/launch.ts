/**
 * The launch, in its order. What can fail cheaply fails first: options, files, the device, the heartbeat's port; only
 * then is the enclave created and memory taken. The image is complete in memory before the memory is donated. From
 * NE_CREATE_VM on, everything unwinds in reverse, and the enclave's descriptor takes the enclave with it.
 */
import { Enclave, openDevice } from "../accel/enclave.ts";
import { explainIoctl, type LaunchNumbers } from "../accel/ne-errors.ts";
import { awsTimeoutMs, type HeartbeatSetup } from "../devices/heartbeat.ts";
import { takeHeartbeatPort } from "../devices/heartbeat-port.ts";
import { cpuPool, threadsPerCore } from "../host/cpus.ts";
import { Failure, SyscallError } from "../sys/failure.ts";
import type { Fd } from "../sys/files.ts";
import type { Mapping } from "../sys/memory.ts";
import { takeSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { openConsole } from "./console.ts";
import { type Image, openImage } from "./image-files.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  type MemoryPlan,
  type MemorySize,
  planMemory,
  rangesText,
  sizeText,
  tightMemory,
} from "./memory.ts";
import { planVcpus } from "./nitro.ts";
import type { LaunchOptions, Typed } from "./options.ts";
import { planMemoryPages } from "./page-supply.ts";
import { type PidFileEnd, writePidFile } from "./pid-file.ts";
import { type PreparedMemory, prepareMemory } from "./preparation.ts";
import type { Session } from "./session.ts";
import { stayWith } from "./stay.ts";
import { Stopped, type StopRequests, stopRequests } from "./stop.ts";
import { Unexplained } from "./unexplained.ts";
import { EXIT } from "./verdict.ts";

/** Makes the session of a launch that has more than a plain console. Throws Failure. */
export type OpenSession = (system: System, options: LaunchOptions, tell: (line: string) => void) => Session;

/** What only some launches ask for, brought by whoever has loaded it. */
export interface Extras {
  /** Called once when everything is prepared and nothing but the loop is left: the process becomes what it is to be. */
  readonly settle?: () => void;
  /** Where character devices or monitors are asked for. */
  readonly openSession?: OpenSession;
  readonly pidFileEnd?: PidFileEnd;
  /** Where PCRs are asked for: takes them of the image in memory. Throws Failure for what is not expected, Stopped. */
  readonly measure?: (image: Image, memory: Mapping, offset: number, between: () => void) => void;
  /** Called once the enclave has started and that has been told. */
  readonly started?: () => void;
}

/** Launches an enclave and stays with it. Gives the exit status; throws Failure when it cannot be launched. */
export async function launch(
  system: System,
  options: LaunchOptions,
  tell: (line: string) => void,
  extras: Extras = {},
): Promise<number> {
  try {
    using signals = takeSignals(system);
    const stop = stopRequests(system, signals);
    using session = extras.openSession?.(system, options, tell);
    if (session !== undefined) signals.onContinue(() => session.resumed());
    const status = await story(system, options, tell, stop, extras, session);
    if (status === EXIT.noHeartbeat) await tellOfVsock(system, tell);
    return status;
  } catch (error) {
    if (error instanceof Unexplained) throw await error.failure();
    if (error instanceof Failure) throw (await import("./explain.ts")).explainOther(system, error, options);
    if (!(error instanceof Stopped)) throw error;
    tell(`${error.signal}: stopped before the enclave was started`);
    return EXIT.stopped;
  }
}

/** No heartbeat has come: perhaps none could. */
async function tellOfVsock(system: System, tell: (line: string) => void): Promise<void> {
  const { vsockFault } = await import("../host/vsock.ts");
  const fault = vsockFault(system);
  if (fault !== undefined)
    tell(`heartbeat: none could come, for ${fault.why}: ${fault.command ?? fault.advice}`);
}

async function story(
  system: System,
  options: LaunchOptions,
  tell: (line: string) => void,
  stop: StopRequests,
  extras: Extras,
  session: Session | undefined,
): Promise<number> {
  using stack = new DisposableStack();
  using image = await openImage({ system, tell, between: stop.check }, options);
  const size = planMemory(options.memoryBytes, image.size, options.memoryBackend);
  checkFits(size, EXPECTED_IMAGE_OFFSET, image.size);
  const threads = threadsPerCore(system);
  const vcpus = planVcpus(options.vcpus, threads);
  const sink = session === undefined ? stack.use(openConsole(system, options)) : session.sink;
  const heartbeatTimeoutMs = heartbeatTimeout(options, image.size, size);
  session?.plan({ memory: size, vcpus: vcpus.value, threadsPerCore: threads, heartbeatTimeoutMs });
  session?.awaitClients(stop);
  if (session?.quit) return EXIT.stopped;
  if (options.pidFile !== undefined) stack.use(writePidFile(system, options.pidFile, extras.pidFileEnd));
  warnIfTight(size, image, tell);

  using device = openNode(system);
  const memory = planMemoryPages(system, size, options.memoryBackend, image.size);
  const heartbeat = heartbeatSetup(system, options, tell, stop, heartbeatTimeoutMs);
  stack.use(heartbeat?.port);
  stop.check();

  const cpusAdded: number[] = [];
  const numbers = () => launchNumbers(system, options, memory, vcpus, threads, cpusAdded.length);
  const asking = <T>(ask: () => T) => explained(ask, (words, e) => words.explainDriver(system, e, numbers()));
  const enclave = stack.use(asking(() => Enclave.create(system, device)));
  device.close();
  const imageOffset = Number(asking(() => enclave.imageOffset()));
  checkFits(memory, imageOffset, image.size);
  stop.check();

  {
    // Once donated, the launcher has no more business in it.
    using prepared = prepare(system, memory, options, stop.check);
    image.load(prepared.mapping, imageOffset);
    extras.measure?.(image, prepared.mapping, imageOffset, stop.check);
    for (const { address, length } of prepared.donations) asking(() => enclave.donate(address, length));
  }
  image[Symbol.dispose]();
  stop.check();
  while (cpusAdded.length < vcpus.value) cpusAdded.push(asking(() => enclave.addVcpu()));
  stop.check();
  const start = () => {
    const cid = startNow(system, enclave, options, numbers);
    session?.started(Number(cid), cpusAdded);
    tell(startedLine(options, cid, cpusAdded, memory));
    extras.started?.();
    return Number(cid);
  };
  const serial = options.debugMode && sink !== undefined ? { system, tell, sink } : undefined;
  const { paused, staysAfterEnd } = options;
  const when = { start, settle: () => extras.settle?.(), paused, staysAfterEnd };
  return stayWith({ system, tell, enclave, ...when, heartbeat, serial, stop, session });
}

function warnIfTight(memory: MemorySize, image: Image, tell: (line: string) => void): void {
  const tight = tightMemory(memory, image.size);
  if (tight !== undefined) tell(tight);
}

/** Opens the driver's node. Throws what is explained later. */
function openNode(system: System): Fd {
  return explained(
    () => openDevice(system),
    (explain, error) => explain.explainDevice(system, error),
  );
}

/** Takes the port, where a heartbeat is waited for at all. Throws Failure. */
function heartbeatSetup(
  system: System,
  { heartbeat }: LaunchOptions,
  tell: (line: string) => void,
  stop: StopRequests,
  timeoutMs: number,
): HeartbeatSetup | undefined {
  if (heartbeat.policy === "none") return undefined;
  const port = explained(
    () => takeHeartbeatPort(system, tell, stop),
    (explain, error) => explain.explainListen(system, error),
  );
  stop.meanwhile = () => port.serve();
  return { system, tell, port, timeoutMs, required: heartbeat.policy === "require" };
}

/** 0 where nobody waits. */
function heartbeatTimeout({ heartbeat }: LaunchOptions, imageBytes: number, memory: MemorySize): number {
  if (heartbeat.policy === "none") return 0;
  return heartbeat.timeoutMs ?? awsTimeoutMs(imageBytes, memory.bytes);
}

function prepare(
  system: System,
  plan: MemoryPlan,
  { memoryBackend }: LaunchOptions,
  between: () => void,
): PreparedMemory {
  const make = () => prepareMemory(system, plan, between);
  return explained(make, (explain, error) => explain.explainMemory(system, error, plan, memoryBackend));
}

/** @param words called once the launch has unwound. */
function explained<T>(attempt: () => T, words: ConstructorParameters<typeof Unexplained>[1]): T {
  try {
    return attempt();
  } catch (error) {
    throw error instanceof SyscallError ? new Unexplained(error, words) : error;
  }
}

/** With -S a monitor asks for the start, and is told at once why it failed. Throws Failure. */
function startNow(
  system: System,
  enclave: Enclave,
  options: LaunchOptions,
  numbers: () => LaunchNumbers,
): bigint {
  try {
    return enclave.start(options.enclaveCid, options.debugMode);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (options.paused) throw explainIoctl(error, numbers());
    throw new Unexplained(error, (explain) => explain.explainDriver(system, error, numbers()));
  }
}

function launchNumbers(
  system: System,
  options: LaunchOptions,
  memory: MemoryPlan,
  vcpus: Typed<number>,
  threads: number,
  vcpusAdded: number,
): LaunchNumbers {
  return {
    smp: vcpus.typed,
    vcpus: vcpus.value,
    vcpusAdded,
    memory: memory.typed,
    memoryBytes: memory.bytes,
    pages: rangesText(memory.ranges),
    node: memory.node,
    cid: options.enclaveCid,
    pool: cpuPool(system),
    threadsPerCore: threads,
    eifPath: options.kernel,
    debugMode: options.debugMode,
  };
}

function startedLine(
  options: LaunchOptions,
  cid: bigint,
  cpus: readonly number[],
  memory: MemoryPlan,
): string {
  const name = options.name === undefined ? "" : ` ${options.name}`;
  const node = memory.node === undefined ? "" : ` on NUMA node ${memory.node}`;
  return (
    `enclave${name} started: CID ${cid}, ${cpuText(cpus)}, ` +
    `memory ${sizeText(memory.bytes)} in ${rangesText(memory.ranges)}${node}, ` +
    (options.debugMode
      ? "debug mode"
      : "production mode (no console; -accel nitro,debug-mode=on gives one)") +
    (options.heartbeat.policy === "none" ? ", heartbeat=none" : "")
  );
}

function cpuText(cpus: readonly number[]): string {
  return cpus.length === 1 ? `1 vCPU (CPU ${cpus[0]})` : `${cpus.length} vCPUs (CPUs ${cpus.join(", ")})`;
}
