/** The launch as the monitor commands see it. */
import { version } from "../../package.json" with { type: "json" };
import type { ChardevTable } from "../chardev/table.ts";
import type { ChardevsView, MachineView } from "../monitor/machine-view.ts";
import { UserError } from "../sys/errors.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import { pinnedBuffer } from "../sys/pinned-buffer.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import type { LaunchOptions } from "./options.ts";

/** Creates the view. @param heartbeatTimeoutMs 0 if no heartbeat is awaited. */
export function machineView(
  options: LaunchOptions,
  run: EnclaveRun,
  table: ChardevTable,
  heartbeatTimeoutMs: number,
): MachineView {
  const { memory, vcpus, threadsPerCore } = run.plan;
  const { id = "ram", hostNodes = [], policy = "default" } = options.memoryBackend ?? {};
  return {
    version,
    name: options.name,
    uuid: options.uuid,
    debugMode: options.debugMode,
    heartbeat: { policy: options.heartbeat.policy, timeoutSeconds: heartbeatTimeoutMs / 1000 },
    image: {
      kernel: options.kernel.value,
      initrd: options.initrd?.value,
      commandLine: options.commandLine?.value,
    },
    serial: options.serial.value,
    chardevs: chardevsView(options, table),
    descriptors: table.descriptors,
    get commandLineOptions() {
      return options.commandLineOptions();
    },
    memory: {
      ...{ id, type: "memory-backend-memfd", share: true, prealloc: true, hostNodes, policy },
      bytes: memory.bytes,
      pageBytes: options.memoryBackend?.pageBytes ?? HUGE_PAGE_BYTES,
    },
    vcpus: vcpus.value,
    threadsPerCore,
    state: () => run.state,
    cid: () => run.cid,
    pcrs: () => run.pcrs,
    cpus: () => (run.state === "prelaunch" ? [] : run.cpus),
    cpuIds: () => (run.state === "prelaunch" ? (options.cpuIds?.value ?? []) : run.cpus),
    quit() {
      run.quitRequested = true;
    },
    start: () => startEnclave(run),
  };
}

/** Starts an enclave that -S holds back. Returns the reason if it cannot be started, otherwise undefined. */
function startEnclave(run: EnclaveRun): string | undefined {
  if (!run.canStart) return "the enclave is running already; an enclave cannot be paused";
  try {
    run.start();
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

function chardevsView(options: LaunchOptions, table: ChardevTable): ChardevsView {
  return {
    list: () => table.list(),
    has: (label) => table.has(label),
    isBusy: (label) => table.isBusy(label),
    isMux: (label) => table.isMux(label),
    parse: (text, label) => options.readChardev(text, "chardev", label),
    open: (spec) => table.open(spec),
    change: (spec) => table.change(spec),
    remove: (label) => table.remove(label),
    readRing: (label, maxBytes) => table.find(label)?.readRing(maxBytes),
    writeRing(label, bytes) {
      const slot = table.find(label);
      if (slot?.type !== "chardev-ringbuf") return false;
      slot.write(pinnedBuffer(bytes), 0, bytes.length);
      return true;
    },
  };
}
