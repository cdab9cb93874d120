/**
 * The launch, in its order. What can fail cheaply fails first: options, files, the device, the pages that are free;
 * then the memory is taken and threads begin to fill it, which takes longest of all. What follows is in
 * enclave-start.ts, and is loaded while they are at it.
 */
import { openDevice } from "../accel/enclave.ts";
import { threadsPerCore } from "../host/cpus.ts";
import { Failure } from "../sys/failure.ts";
import type { Fd } from "../sys/files.ts";
import { PageMap } from "../sys/page-map.ts";
import { takeSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import type { Beside } from "./enclave-start.ts";
import type { Extras } from "./extras.ts";
import { mappingLimit, planFilling } from "./fill-plan.ts";
import { openImage } from "./image-files.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  type MemoryPlan,
  planMemory,
  sizeText,
  tightMemory,
} from "./memory.ts";
import { planVcpus } from "./nitro.ts";
import type { LaunchOptions } from "./options.ts";
import { type Pace, paceOf } from "./pace.ts";
import { planMemoryPages } from "./page-supply.ts";
import { beginMemory, type MemoryBegun } from "./preparation.ts";
import { Stopped, stopRequests } from "./stop.ts";
import { explained, Unexplained } from "./unexplained.ts";
import { EXIT } from "./verdict.ts";

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
    using _pidFile = await takePidFile(system, options, extras);
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

async function takePidFile(
  system: System,
  { pidFile }: LaunchOptions,
  { pidFileEnd }: Extras,
): Promise<Disposable | undefined> {
  if (pidFile === undefined) return undefined;
  const { writePidFile } = await import("./pid-file.ts");
  return writePidFile(system, pidFile, pidFileEnd);
}

async function story(
  system: System,
  options: LaunchOptions,
  tell: (line: string) => void,
  beside: Beside,
  extras: Extras,
): Promise<number> {
  const { pace } = beside;
  using image = await openImage({ system, tell, pace }, options);
  const size = planMemory(options.memoryBytes, image.size, options.memoryBackend);
  checkFits(size, EXPECTED_IMAGE_OFFSET, image.size);
  const threads = threadsPerCore(system);
  const vcpus = extras.pickCpus?.() ?? planVcpus(options.vcpus, threads);
  const tight = tightMemory(size, image.size);
  if (tight !== undefined) tell(tight);
  using device = openNode(system);
  const memory = planMemoryPages(system, size, options.memoryBackend, image.size);
  using begun = begin(system, memory, options, pace);
  const { startEnclave } = await import("./enclave-start.ts");
  const ready = { image, device, memory, begun, vcpus, threadsPerCore: threads };
  return await startEnclave(system, options, tell, ready, beside, extras);
}

/** Opens the driver's node. Throws what is explained later. */
function openNode(system: System): Fd {
  return explained(
    () => openDevice(system),
    (explain, error) => explain.explainDevice(system, error),
  );
}

/** Takes the memory and begins to fill it. Throws what is explained later. */
function begin(system: System, plan: MemoryPlan, { memoryBackend }: LaunchOptions, pace: Pace): MemoryBegun {
  using stack = new DisposableStack();
  const opened = stack.use(PageMap.open(system));
  const pageMap = opened?.tellsFrames() ? opened : undefined;
  const facts = {
    plan,
    asked: memoryBackend?.threads,
    pagesTold: pageMap !== undefined,
    mayMap: mappingLimit(system),
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
