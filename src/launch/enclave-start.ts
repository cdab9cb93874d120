/**
 * The second part of a launch: from the moment when threads fill the memory to the enclave's end. The enclave is
 * created meanwhile; the image is complete in memory before the memory is donated. From NE_CREATE_VM on, everything
 * unwinds in reverse, and the enclave's descriptor takes the enclave with it.
 */

import { awsTimeoutMs, type HeartbeatSetup } from "../devices/heartbeat/heartbeat.ts";
import { takeHeartbeatPort } from "../devices/heartbeat/port.ts";
import { Enclave } from "../enclave/enclave.ts";
import type { diagnoseIoctl, LaunchNumbers } from "../enclave/ne-errors.ts";
import { SyscallError } from "../sys/errors.ts";
import type { Fd } from "../sys/files.ts";
import type { Mapping } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import type { Cancellation } from "./cancellation.ts";
import { openConsole } from "./console.ts";
import { EXIT } from "./exit-status.ts";
import type { Extras } from "./extras.ts";
import type { Session } from "./frontends.ts";
import type { Image } from "./image/image-files.ts";
import { ramdiskWarnings } from "./image/ramdisk-check.ts";
import type { MemoryBegun } from "./memory/allocate-memory.ts";
import { isPlain, type LaunchOptions } from "./options.ts";
import { checkFits, type MemoryPlan, type MemorySize } from "./plan/memory.ts";
import type { Vcpus } from "./plan/vcpus.ts";
import type { Progress } from "./progress.ts";
import { runUntilExit } from "./run-loop.ts";
import { launchNumbers, type Made, startedLine } from "./start-message.ts";
import { diagnosed, Undiagnosed } from "./undiagnosed.ts";

/** What goes on beside the story. */
export interface Beside {
  readonly stop: Cancellation;
  readonly pace: Progress;
}

/** What is there already. */
export interface Ready {
  readonly image: Image;
  readonly device: Fd;
  readonly memory: MemoryPlan;
  /** The memory, which is being filled. */
  readonly begun: MemoryBegun;
  readonly vcpus: Vcpus;
  readonly threadsPerCore: number;
}

/** Starts the enclave and waits for its end. Returns the exit status. Throws UserError, Cancelled, Undiagnosed. */
export async function startEnclave(
  system: System,
  options: LaunchOptions,
  report: (line: string) => void,
  { image, device, memory, begun, vcpus, threadsPerCore: threads }: Ready,
  { stop, pace }: Beside,
  extras: Extras,
): Promise<number> {
  using stack = new DisposableStack();
  const session = isPlain(options) ? undefined : stack.use(await openSession(system, options, report));
  if (session !== undefined) stop.signals.onContinue(() => session.resumed());
  const sink = session === undefined ? stack.use(openConsole(system, options)) : session.sink;
  const heartbeatTimeoutMs = heartbeatTimeout(options, image.size, memory);
  session?.plan({ memory, vcpus: vcpus.value, threadsPerCore: threads, heartbeatTimeoutMs });
  if (session?.awaits) {
    await session.loadMonitors();
    session.awaitClients(stop);
  }
  if (session?.quit) return EXIT.stopped;
  const heartbeat = heartbeatSetup(system, options, report, stop, heartbeatTimeoutMs);
  stack.use(heartbeat?.port);
  stop.check();

  const made: Made = { cpus: [], regions: undefined };
  const signed = image.signature !== undefined;
  const numbers = () => launchNumbers(system, options, { memory, vcpus, threads, signed }, made);
  const asking = <T>(ask: () => T) =>
    diagnosed(ask, (words, e) => words.diagnoseDriver(system, e, numbers()));
  const enclave = stack.use(asking(() => Enclave.create(system, device)));
  device.close();
  const imageOffset = Number(asking(() => enclave.imageOffset()));
  checkFits(memory, imageOffset, image.size);
  stop.check();

  {
    // Once donated, the launcher has no more business in it.
    using prepared = begun.finish();
    made.regions = prepared.regions;
    putInto(prepared.mapping, image, imageOffset, pace, extras.measure, session);
    for (const line of ramdiskWarnings(image, prepared.mapping, imageOffset, memory)) report(line);
    for (const { address, length } of prepared.donations) asking(() => enclave.donate(address, length));
  }
  image[Symbol.dispose]();
  stop.check();
  for (let i = 0; i < vcpus.value; i++) made.cpus.push(asking(() => enclave.addVcpu(vcpus.ids?.[i])));
  stop.check();
  await session?.loadMonitors();
  const toMonitor = options.paused ? (await import("../enclave/ne-errors.ts")).diagnoseIoctl : undefined;
  const start = () => {
    const cid = startNow(system, enclave, options, numbers, toMonitor);
    session?.started(Number(cid), made.cpus);
    report(startedLine(options, cid, memory, made));
    extras.started?.();
    return Number(cid);
  };
  const serial = options.debugMode && sink !== undefined ? { system, report, sink } : undefined;
  const { paused, staysAfterEnd } = options;
  const when = { start, settle: () => extras.settle?.(), paused, staysAfterEnd };
  return runUntilExit({ system, report, enclave, ...when, heartbeat, serial, stop, session });
}

/** What it takes is loaded only where character devices or monitors are asked for. Throws UserError. */
async function openSession(...asked: ConstructorParameters<typeof Session>): Promise<Session> {
  const { Session } = await import("./frontends.ts");
  return new Session(...asked);
}

/** Takes the port, where a heartbeat is waited for at all. Throws UserError. */
function heartbeatSetup(
  system: System,
  { heartbeat }: LaunchOptions,
  report: (line: string) => void,
  stop: Cancellation,
  timeoutMs: number,
): HeartbeatSetup | undefined {
  if (heartbeat.policy === "none") return undefined;
  const port = diagnosed(
    () => takeHeartbeatPort(system, report, stop),
    (explain, error) => explain.diagnoseListen(system, error),
  );
  stop.meanwhile = () => port.serve();
  return { system, report, port, timeoutMs, required: heartbeat.policy === "require" };
}

/** 0 where nobody waits. */
function heartbeatTimeout({ heartbeat }: LaunchOptions, imageBytes: number, memory: MemorySize): number {
  if (heartbeat.policy === "none") return 0;
  return heartbeat.timeoutMs ?? awsTimeoutMs(imageBytes, memory.bytes);
}

/** Writes the image into the memory, and measures it there. Throws UserError, Cancelled. */
function putInto(
  mapping: Mapping,
  image: Image,
  offset: number,
  pace: Progress,
  measure: Extras["measure"],
  session: Session | undefined,
): void {
  {
    using _bar = pace.begin("image", image.size);
    image.load(mapping, offset);
  }
  if (measure === undefined) return;
  // Each section is a part of PCR0 and of another.
  using _bar = pace.begin("measuring", image.size);
  const pcrs = measure(image, mapping, offset, pace.between);
  session?.measured(pcrs);
}

/**
 * Throws what is diagnosed later.
 * @param toMonitor with -S a monitor asks for the start, and is told at once why it failed.
 */
function startNow(
  system: System,
  enclave: Enclave,
  options: LaunchOptions,
  numbers: () => LaunchNumbers,
  toMonitor: typeof diagnoseIoctl | undefined,
): bigint {
  try {
    return enclave.start(options.enclaveCid, options.debugMode);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (toMonitor !== undefined) throw toMonitor(error, numbers());
    throw new Undiagnosed(error, (explain) => explain.diagnoseDriver(system, error, numbers()));
  }
}
