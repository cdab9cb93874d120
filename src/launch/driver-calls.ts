/**
 * The launch's calls to the Nitro Enclaves driver, in the order that the driver requires. A call that fails is
 * diagnosed with the numbers of this launch.
 */
import { Enclave, openDevice } from "../enclave/enclave.ts";
import type { LaunchNumbers } from "../enclave/ne-errors.ts";
import { cpuPool } from "../host/cpu/cpus.ts";
import { rangesText } from "../host/memory/huge-pages.ts";
import { SyscallError } from "../sys/errors.ts";
import type { Fd } from "../sys/files.ts";
import type { LaunchContext } from "./context.ts";
import type { EnclaveRun } from "./enclave-run.ts";
import type { AllocatedMemory } from "./memory/allocate-memory.ts";
import { checkFits } from "./plan/memory.ts";
import { diagnosed } from "./undiagnosed.ts";

/** Opens /dev/nitro_enclaves. Throws Undiagnosed. */
export function openEnclaveDevice({ system }: LaunchContext): Fd {
  return diagnosed(
    () => openDevice(system),
    (diagnose, error) => diagnose.diagnoseDevice(system, error),
  );
}

/** NE_CREATE_VM. Closes the device, which is not needed afterwards. Throws Undiagnosed. */
export function createEnclave(context: LaunchContext, device: Fd, run: EnclaveRun): Enclave {
  const enclave = driverCall(context, run, () => Enclave.create(context.system, device));
  device.close();
  return enclave;
}

/** NE_GET_IMAGE_LOAD_INFO: the image's offset in the memory, in bytes. Throws Undiagnosed, UserError. */
export function queryImageOffset(context: LaunchContext, enclave: Enclave, run: EnclaveRun): number {
  const offset = Number(driverCall(context, run, () => enclave.imageOffset()));
  checkFits(run.plan.memory, offset, run.plan.image.size);
  return offset;
}

/** NE_SET_USER_MEMORY_REGION for each donation. Throws Undiagnosed. */
export function donateMemory(
  context: LaunchContext,
  enclave: Enclave,
  run: EnclaveRun,
  { donations }: AllocatedMemory,
): void {
  for (const { address, length } of donations) {
    driverCall(context, run, () => enclave.donate(address, length));
  }
}

/** NE_ADD_VCPU for each vCPU. Throws Undiagnosed. */
export function addVcpus(context: LaunchContext, enclave: Enclave, run: EnclaveRun): void {
  const { value: count, ids } = run.plan.vcpus;
  for (let i = 0; i < count; i++) {
    run.cpus.push(driverCall(context, run, () => enclave.addVcpu(ids?.[i])));
  }
}

/** NE_START_ENCLAVE. Returns the CID that the enclave has. Throws Undiagnosed. */
export function callStart(context: LaunchContext, enclave: Enclave, run: EnclaveRun): number {
  return driverCall(context, run, () => start(context, enclave));
}

/** Returns the same call for a monitor, which reports a failure at once: the call throws UserError. */
export async function startForMonitor(
  context: LaunchContext,
  enclave: Enclave,
  run: EnclaveRun,
): Promise<() => number> {
  const { diagnoseIoctl } = await import("../enclave/ne-errors.ts");
  return () => {
    try {
      return start(context, enclave);
    } catch (error) {
      throw error instanceof SyscallError ? diagnoseIoctl(error, launchNumbers(context, run)) : error;
    }
  };
}

function start({ options }: LaunchContext, enclave: Enclave): number {
  return Number(enclave.start(options.enclaveCid, options.debugMode));
}

function driverCall<T>(context: LaunchContext, run: EnclaveRun, call: () => T): T {
  return diagnosed(call, (diagnose, error) =>
    diagnose.diagnoseDriver(context.system, error, launchNumbers(context, run)),
  );
}

/** The numbers of this launch that explain an error of the driver. */
function launchNumbers(
  { system, options }: LaunchContext,
  { plan, cpus, regions }: EnclaveRun,
): LaunchNumbers {
  const { image, memory, vcpus, threadsPerCore } = plan;
  return {
    smp: vcpus.typed,
    vcpus: vcpus.value,
    vcpusAdded: cpus.length,
    cpuIds: vcpus.ids,
    memory: memory.typed,
    memoryBytes: memory.bytes,
    pages: rangesText(memory.ranges),
    regions,
    node: memory.node,
    cid: options.enclaveCid,
    pool: cpuPool(system),
    threadsPerCore,
    eifPath: options.kernel.value,
    signed: image.signature !== undefined,
    debugMode: options.debugMode,
  };
}
