/** The start of a prepared enclave, by the launch itself or, with -S, by a monitor. */
import type { Enclave } from "../enclave/enclave.ts";
import type { LaunchContext } from "./context.ts";
import type { Devices } from "./devices.ts";
import { callStart, startForMonitor } from "./driver-calls.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import { startMessage } from "./start-message.ts";

/** Makes everything ready, so that `run.start` starts the enclave, tells its devices the CID and reports it. */
export async function prepareStart(
  context: LaunchContext,
  enclave: Enclave,
  run: EnclaveRun,
  devices: Devices,
): Promise<void> {
  const { options, report } = context;
  const call = options.paused
    ? await startForMonitor(context, enclave, run)
    : () => callStart(context, enclave, run);
  run.ready(() => {
    for (const device of devices.all) device.enclaveStarting?.();
    run.started(call());
    report(startMessage(options, run));
    for (const line of run.pcrLines) report(line);
    for (const device of devices.all) device.enclaveStarted?.(run.cid);
  });
}
