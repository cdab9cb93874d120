/** Creates the devices of a launch. */
import type { Device } from "../devices/device.ts";
import { Heartbeat } from "../devices/heartbeat/heartbeat.ts";
import { PublishedStatus } from "../devices/heartbeat/holder-status.ts";
import { claimHeartbeatPort, type HeartbeatPort } from "../devices/heartbeat/port.ts";
import { awsTimeoutMs } from "../devices/heartbeat/timeout.ts";
import { SerialConsole } from "../devices/serial/serial.ts";
import { nowMs } from "../sys/poll.ts";
import { openConsole } from "./console.ts";
import type { LaunchContext } from "./context.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import { isPlain, type LaunchOptions } from "./options.ts";
import { undiagnosed } from "./undiagnosed.ts";

/** The devices, in the order in which each step reaches them; they are disposed of in reverse. */
export interface Devices extends Disposable {
  readonly all: readonly Device[];
  /** Realizes each. Throws UserError, Undiagnosed, Cancelled. */
  realize(): Promise<void>;
}

/** Opens character devices and creates the devices that the options ask for. Throws UserError. */
export async function createDevices(context: LaunchContext, run: EnclaveRun): Promise<Devices> {
  const { system, options, report, cancellation } = context;
  using stack = new DisposableStack();
  const all: Device[] = [];
  const add = <D extends Device>(device: D): D => {
    all.push(stack.use(device));
    return device;
  };
  const timeoutMs = heartbeatTimeoutMs(options, run);
  let output = isPlain(options) ? stack.use(openConsole(context)) : undefined;
  if (!isPlain(options)) {
    const { Frontends } = await import("./frontends.ts");
    const frontends = add(new Frontends(context, run, timeoutMs));
    cancellation.signals.onContinue(() => frontends.processContinued());
    output = frontends.console;
  }
  if (options.heartbeat.policy !== "none") {
    const claimPort = () => claimDiagnosed(context);
    const required = options.heartbeat.policy === "require";
    const heartbeat = add(new Heartbeat({ system, report, claimPort, timeoutMs, required }));
    cancellation.onCheck = () => heartbeat.serveOtherLaunchers();
  }
  if (options.debugMode && output !== undefined) add(new SerialConsole({ system, report, output }));
  add(new PublishedStatus(system, timeoutMs));
  const owned = stack.move();
  return {
    all,
    async realize() {
      for (const device of all) {
        await device.realize?.();
        // A monitor's client may end a launch that waits for it.
        if (run.quitRequested) return;
      }
    },
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** 0 if no heartbeat is awaited. */
function heartbeatTimeoutMs({ heartbeat }: LaunchOptions, { plan }: EnclaveRun): number {
  if (heartbeat.policy === "none") return 0;
  return heartbeat.timeoutMs ?? awsTimeoutMs(plan.image.size, plan.memory.bytes);
}

/** Claims the heartbeat's port. Throws Undiagnosed, UserError, Cancelled. */
async function claimDiagnosed({
  system,
  options,
  report,
  cancellation,
}: LaunchContext): Promise<HeartbeatPort> {
  const { waitMs } = options.heartbeat;
  const findPortUse = async () => (await import("./port-holder.ts")).findPortUse(system);
  const startMs = nowMs();
  try {
    return await claimHeartbeatPort({ system, report, waits: cancellation, waitMs, findPortUse });
  } catch (error) {
    const waitedMs = nowMs() - startMs;
    throw undiagnosed(error, (diagnose, cause) => diagnose.diagnoseListen(system, cause, waitedMs));
  }
}
