/**
 * The launch, in its order. What can fail cheaply fails first: options, files, the device, the heartbeat's port; only
 * then is the enclave created and memory taken. The image is complete in memory before the memory is donated. From
 * NE_CREATE_VM on, everything unwinds in reverse, and the enclave's descriptor takes the enclave with it.
 */
import { Enclave, openDevice } from "../accel/enclave.ts";
import { explainIoctl, type LaunchNumbers } from "../accel/ne-errors.ts";
import { awsTimeoutMs, type HeartbeatSetup } from "../devices/heartbeat.ts";
import { takeHeartbeatPort } from "../devices/heartbeat-port.ts";
import { threadsPerCore } from "../host/cpus.ts";
import { Failure, SyscallError } from "../sys/failure.ts";
import type { Fd } from "../sys/files.ts";
import type { Mapping } from "../sys/memory.ts";
import { PageMap } from "../sys/page-map.ts";
import { takeSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { openConsole } from "./console.ts";
import { launchNumbers, type Made, startedLine } from "./enclave-words.ts";
import { mostMappings, planFilling } from "./fill-plan.ts";
import { type Image, openImage } from "./image-files.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  type MemoryPlan,
  type MemorySize,
  planMemory,
  sizeText,
  tightMemory,
} from "./memory.ts";
import { planVcpus, type Vcpus } from "./nitro.ts";
import type { LaunchOptions } from "./options.ts";
import { type Pace, paceOf } from "./pace.ts";
import { planMemoryPages } from "./page-supply.ts";
import { type PidFileEnd, writePidFile } from "./pid-file.ts";
import { beginMemory, type MemoryBegun } from "./preparation.ts";
import { ramdiskWarnings } from "./ramdisk-check.ts";
import type { Session } from "./session.ts";
import { stayWith } from "./stay.ts";
import { Stopped, type StopRequests, stopRequests } from "./stop.ts";
import { Unexplained } from "./unexplained.ts";
import { EXIT } from "./verdict.ts";

/** Makes the session of a launch that has more than a plain console. Throws Failure. */
export type OpenSession = (
  system: System,
  options: LaunchOptions,
  tell: (line: string) => void,
) => Promise<Session>;

/** What only some launches ask for, brought by whoever has loaded it. */
export interface Extras {
  /** Called once when everything is prepared and nothing but the loop is left: the process becomes what it is to be. */
  readonly settle?: () => void;
  /** Where character devices or monitors are asked for. */
  readonly openSession?: OpenSession;
  readonly pidFileEnd?: PidFileEnd;
  /** Where PCRs are asked for: takes them of the image in memory. Throws Failure for what is not expected, Stopped. */
  readonly measure?: (
    image: Image,
    memory: Mapping,
    offset: number,
    between: (bytes: number) => void,
  ) => void;
  /** Draws on the user's terminal; does nothing where that is none. */
  readonly draw?: (text: string) => void;
  /** Where CPUs are picked by hand: looks at them. Throws Failure for what the driver would refuse. */
  readonly pickCpus?: () => Vcpus;
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
    // A trace on the same terminal would be drawn over.
    const quiet = options.trace.size > 0 && options.traceFile === undefined;
    const pace = paceOf(stop, quiet ? undefined : extras.draw);
    const telling = (line: string) => {
      pace.clear();
      tell(line);
    };
    // Before anything is emptied: who has lost the race for it must not touch the other's files.
    using _pidFile =
      options.pidFile === undefined ? undefined : writePidFile(system, options.pidFile, extras.pidFileEnd);
    const status = await story(system, options, telling, { stop, pace }, extras);
    if (status === EXIT.noHeartbeat) (await import("./explain.ts")).explainSilence(system, telling);
    return status;
  } catch (error) {
    const failure = error instanceof Unexplained ? await error.failure() : error;
    if (failure instanceof Failure) {
      throw (await import("./explain.ts")).explainOther(system, failure, options);
    }
    if (!(failure instanceof Stopped)) throw failure;
    tell(`${failure.signal}: stopped before the enclave was started`);
    return EXIT.stopped;
  }
}

/** What goes on beside the story. */
interface Beside {
  readonly stop: StopRequests;
  readonly pace: Pace;
}

async function story(
  system: System,
  options: LaunchOptions,
  tell: (line: string) => void,
  { stop, pace }: Beside,
  extras: Extras,
): Promise<number> {
  using stack = new DisposableStack();
  using image = await openImage({ system, tell, pace }, options);
  const size = planMemory(options.memoryBytes, image.size, options.memoryBackend);
  checkFits(size, EXPECTED_IMAGE_OFFSET, image.size);
  const threads = threadsPerCore(system);
  const vcpus = extras.pickCpus?.() ?? planVcpus(options.vcpus, threads);
  const heartbeatTimeoutMs = heartbeatTimeout(options, image.size, size);
  warnIfTight(size, image, tell);

  using device = openNode(system);
  const memory = planMemoryPages(system, size, options.memoryBackend, image.size);
  using begun = begin(system, memory, options, pace);

  // Meanwhile threads fill the memory.
  const session = stack.use(await extras.openSession?.(system, options, tell));
  if (session !== undefined) stop.signals.onContinue(() => session.resumed());
  const sink = session === undefined ? stack.use(openConsole(system, options)) : session.sink;
  session?.plan({ memory: size, vcpus: vcpus.value, threadsPerCore: threads, heartbeatTimeoutMs });
  session?.awaitClients(stop);
  if (session?.quit) return EXIT.stopped;
  const heartbeat = heartbeatSetup(system, options, tell, stop, heartbeatTimeoutMs);
  stack.use(heartbeat?.port);
  stop.check();

  const made: Made = { cpus: [], regions: undefined };
  const signed = image.signature !== undefined;
  const numbers = () => launchNumbers(system, options, { memory, vcpus, threads, signed }, made);
  const asking = <T>(ask: () => T) => explained(ask, (words, e) => words.explainDriver(system, e, numbers()));
  const enclave = stack.use(asking(() => Enclave.create(system, device)));
  device.close();
  const imageOffset = Number(asking(() => enclave.imageOffset()));
  checkFits(memory, imageOffset, image.size);
  stop.check();

  {
    // Once donated, the launcher has no more business in it.
    using prepared = begun.finish();
    made.regions = prepared.regions;
    putInto(prepared.mapping, image, imageOffset, pace, extras.measure);
    for (const line of ramdiskWarnings(image, prepared.mapping, imageOffset, memory)) tell(line);
    for (const { address, length } of prepared.donations) asking(() => enclave.donate(address, length));
  }
  image[Symbol.dispose]();
  stop.check();
  for (let i = 0; i < vcpus.value; i++) made.cpus.push(asking(() => enclave.addVcpu(vcpus.ids?.[i])));
  stop.check();
  const start = () => {
    const cid = startNow(system, enclave, options, numbers);
    session?.started(Number(cid), made.cpus);
    tell(startedLine(options, cid, memory, made));
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

/** Takes the memory and begins to fill it. Throws Failure. */
function begin(system: System, plan: MemoryPlan, { memoryBackend }: LaunchOptions, pace: Pace): MemoryBegun {
  using stack = new DisposableStack();
  const pageMap = stack.use(PageMap.open(system));
  const facts = {
    plan,
    asked: memoryBackend?.threads,
    pagesTold: () => pageMap?.tellsFrames() ?? false,
    mostMappings: () => mostMappings(system),
  };
  const together = planFilling(system, facts);
  const watch = { wait: pace.readable, step: pace.between };
  const explaining = <T>(make: () => T) =>
    explained(make, (explain, error) => explain.explainMemory(system, error, plan, memoryBackend));
  const begun = explaining(() => stack.use(beginMemory(system, { ...facts, pageMap, together, watch })));
  const owner = stack.move();
  return {
    finish() {
      using _owner = owner;
      using _bar = pace.begin(`memory ${sizeText(plan.bytes)}`, plan.bytes);
      return explaining(() => begun.finish());
    },
    [Symbol.dispose]: () => owner.dispose(),
  };
}

/** Writes the image into the memory, and measures it there. Throws Failure, Stopped. */
function putInto(
  mapping: Mapping,
  image: Image,
  offset: number,
  pace: Pace,
  measure: Extras["measure"],
): void {
  {
    using _bar = pace.begin("image", image.size);
    image.load(mapping, offset);
  }
  if (measure === undefined) return;
  // Each section is a part of PCR0 and of another.
  using _bar = pace.begin("measuring", image.size);
  measure(image, mapping, offset, pace.between);
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
