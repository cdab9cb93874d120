/**
 * The launch, in its order. What can fail cheaply fails first: options, files, the device, the pages that are free;
 * then the memory is taken and threads begin to fill it, which takes longest of all. What follows is in
 * enclave-start.ts, and is loaded while they are at it.
 */
import { openDevice } from "../enclave/enclave.ts";
import { threadsPerCore } from "../host/cpu/cpus.ts";
import { UserError } from "../sys/errors.ts";
import type { Fd } from "../sys/files.ts";
import { PageMap } from "../sys/page-map.ts";
import { takeSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { Cancelled, watchCancellation } from "./cancellation.ts";
import type { Beside } from "./enclave-start.ts";
import { EXIT } from "./exit-status.ts";
import type { Extras } from "./extras.ts";
import { openImage } from "./image/image-files.ts";
import { beginMemory, type MemoryBegun } from "./memory/allocate-memory.ts";
import { mappingLimit, planFilling } from "./memory/prealloc.ts";
import type { LaunchOptions } from "./options.ts";
import { planMemoryPages } from "./plan/huge-pages.ts";
import {
  checkFits,
  EXPECTED_IMAGE_OFFSET,
  type MemoryPlan,
  planMemory,
  sizeText,
  tightMemory,
} from "./plan/memory.ts";
import { planVcpus } from "./plan/vcpus.ts";
import { launchProgress, type Progress } from "./progress.ts";
import { diagnosed, Undiagnosed } from "./undiagnosed.ts";

/** Launches an enclave and stays with it. Gives the exit status; throws UserError when it cannot be launched. */
export async function launch(
  system: System,
  options: LaunchOptions,
  report: (line: string) => void,
  extras: Extras = {},
): Promise<number> {
  try {
    using signals = takeSignals(system);
    const stop = watchCancellation(system, signals);
    // A trace on the same terminal would be drawn over.
    const quiet = options.trace.size > 0 && options.traceFile === undefined;
    const pace = launchProgress(stop, quiet ? undefined : extras.draw);
    const reporting = (line: string) => {
      pace.clear();
      report(line);
    };
    // Before anything is emptied: who has lost the race for it must not touch the other's files.
    using _pidFile = await takePidFile(system, options, extras);
    const status = await story(system, options, reporting, { stop, pace }, extras);
    if (status === EXIT.noHeartbeat) (await import("./diagnose.ts")).diagnoseSilence(system, reporting);
    return status;
  } catch (error) {
    const failure = error instanceof Undiagnosed ? await error.failure() : error;
    if (failure instanceof UserError) {
      throw (await import("./diagnose.ts")).diagnoseOther(system, failure, options);
    }
    if (!(failure instanceof Cancelled)) throw failure;
    report(`${failure.signal}: stopped before the enclave was started`);
    return EXIT.stopped;
  }
}

async function takePidFile(
  system: System,
  { pidFile }: LaunchOptions,
  { pidFileEnd }: Extras,
): Promise<Disposable | undefined> {
  if (pidFile === undefined) return undefined;
  const { writePidFile } = await import("./process/pid-file.ts");
  return writePidFile(system, pidFile, pidFileEnd);
}

async function story(
  system: System,
  options: LaunchOptions,
  report: (line: string) => void,
  beside: Beside,
  extras: Extras,
): Promise<number> {
  const { pace } = beside;
  using image = await openImage({ system, report, pace }, options);
  const size = planMemory(options.memoryBytes, image.size, options.memoryBackend);
  checkFits(size, EXPECTED_IMAGE_OFFSET, image.size);
  const threads = threadsPerCore(system);
  const vcpus = extras.pickCpus?.() ?? planVcpus(options.vcpus, threads);
  const tight = tightMemory(size, image.size);
  if (tight !== undefined) report(tight);
  using device = openNode(system);
  const memory = planMemoryPages(system, size, options.memoryBackend, image.size);
  using begun = begin(system, memory, options, pace);
  const { startEnclave } = await import("./enclave-start.ts");
  const ready = { image, device, memory, begun, vcpus, threadsPerCore: threads };
  return await startEnclave(system, options, report, ready, beside, extras);
}

/** Opens the driver's node. Throws what is diagnosed later. */
function openNode(system: System): Fd {
  return diagnosed(
    () => openDevice(system),
    (explain, error) => explain.diagnoseDevice(system, error),
  );
}

/** Takes the memory and begins to fill it. Throws what is diagnosed later. */
function begin(
  system: System,
  plan: MemoryPlan,
  { memoryBackend }: LaunchOptions,
  pace: Progress,
): MemoryBegun {
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
  const diagnosing = <T>(make: () => T) =>
    diagnosed(make, (explain, error) => explain.diagnoseMemory(system, error, plan, memoryBackend));
  const begun = diagnosing(() => stack.use(beginMemory(system, { ...facts, pageMap, together, watch })));
  const owner = stack.move();
  return {
    finish() {
      using _owner = owner;
      using _bar = pace.begin(`memory ${sizeText(plan.bytes)}`, plan.bytes);
      return diagnosing(() => begun.finish());
    },
    [Symbol.dispose]: () => owner.dispose(),
  };
}
