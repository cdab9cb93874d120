/**
 * The launch, one step per line. What can fail cheaply fails first: options, files, the device, the free huge pages.
 * Everything is owned by a scope, so a failure at any step unwinds the steps before it in reverse; closing the
 * enclave's descriptor terminates the enclave.
 */
import { threadsPerCore } from "../host/cpu/cpus.ts";
import { ReopenableFiles } from "../sys/reopenable-files.ts";
import { catchSignals } from "../sys/signals.ts";
import type { System } from "../sys/system.ts";
import { createContext, type LaunchContext, type LaunchRequest } from "./context.ts";
import { createDevices } from "./devices.ts";
import {
  addVcpus,
  createEnclave,
  donateMemory,
  openEnclaveDevice,
  queryImageOffset,
} from "./driver-calls.ts";
import { allocateMemory } from "./enclave-memory.ts";
import { EnclaveRun } from "./enclave-run.ts";
import { EXIT } from "./exit-status.ts";
import { watchHangup } from "./hangup.ts";
import { openImage } from "./image/image-files.ts";
import { loadImage } from "./load-image.ts";
import { planMemoryPages } from "./plan/huge-pages.ts";
import { checkFits, EXPECTED_IMAGE_OFFSET, type MemorySize, planMemory, tightMemory } from "./plan/memory.ts";
import { planVcpus, type Vcpus } from "./plan/vcpus.ts";
import { prepareLauncher, startDaemon, startsDaemon } from "./process/launcher-process.ts";
import type { LauncherProcess } from "./process/set-up.ts";
import { runUntilExit } from "./run-loop.ts";
import { prepareStart } from "./start-enclave.ts";
import { launchFailed, reportVsockProblem } from "./undiagnosed.ts";

/** Launches an enclave and runs until it exits. Returns the exit status. Throws UserError if it cannot be launched. */
export async function launch(system: System, request: LaunchRequest): Promise<number> {
  if (startsDaemon(request)) return await startDaemon(system, request);
  const logs = new ReopenableFiles(system);
  using launcher = await prepareLauncher(system, request, logs);
  using signals = catchSignals(system);
  const context = createContext(system, request, { signals, logs });
  watchHangup(context);
  try {
    const status = await launchEnclave(context, launcher);
    if (status === EXIT.noHeartbeat) await reportVsockProblem(context);
    return status;
  } catch (error) {
    return await launchFailed(context, error);
  }
}

async function launchEnclave(context: LaunchContext, launcher: LauncherProcess): Promise<number> {
  const { cancellation, options } = context;
  using _pidFile = launcher.createPidFile();
  using image = await openImage(context, options);
  const size = planMemorySize(context, image.size);
  const threads = threadsPerCore(context.system);
  const vcpus = await selectVcpus(context, threads);
  using device = openEnclaveDevice(context);
  const demand = { size, backend: options.memoryBackend, imageBytes: image.size, vcpus: vcpus.value };
  const memory = await planMemoryPages(context.system, demand, context.report);
  const run = new EnclaveRun(options, { image, memory, vcpus, threadsPerCore: threads });
  using allocation = allocateMemory(context, memory);
  using devices = await createDevices(context, run);
  await devices.realize();
  if (run.quitRequested) return EXIT.stopped;
  cancellation.check();
  using enclave = createEnclave(context, device, run);
  const imageOffset = queryImageOffset(context, enclave, run);
  cancellation.check();
  {
    using prepared = allocation.finish();
    run.regions = prepared.regions;
    await loadImage(context, run, image, prepared, imageOffset);
    donateMemory(context, enclave, run, prepared);
  }
  // The image is in the enclave's memory: its files need not stay open while the enclave runs.
  image[Symbol.dispose]();
  cancellation.check();
  addVcpus(context, enclave, run);
  cancellation.check();
  await prepareStart(context, enclave, run, devices);
  if (!options.paused) run.start();
  for (const each of devices.all) await each.loadForRun?.();
  launcher.finalize();
  return runUntilExit(context, run, enclave, devices.all);
}

/** The size of the memory, checked against the image before the driver reports its load offset. Throws UserError. */
function planMemorySize({ options, report }: LaunchContext, imageBytes: number): MemorySize {
  const size = planMemory(options.memoryBytes, imageBytes, options.memoryBackend);
  checkFits(size, EXPECTED_IMAGE_OFFSET, imageBytes);
  const warning = tightMemory(size, imageBytes);
  if (warning !== undefined) report(warning);
  return size;
}

/** The vCPUs: those of cpu-ids=, or as many as -smp says. Throws UserError. */
async function selectVcpus({ system, options }: LaunchContext, threads: number): Promise<Vcpus> {
  if (options.cpuIds === undefined) return planVcpus(options.vcpus, threads);
  const { pickCpus } = await import("./plan/cpu-ids.ts");
  return pickCpus(system, options.cpuIds);
}
