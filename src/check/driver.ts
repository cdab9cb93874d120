/** The instance, the kernel, the driver and its node. */
import { DEVICE_PATH, openDevice } from "../enclave/enclave.ts";
import { accessProblem, effectiveUserName } from "../host/driver/device-permissions.ts";
import {
  DRIVER_MODULE,
  enclavePciDevice,
  instanceIdentity,
  instanceProblem,
  missingDeviceProblem,
  moduleProblem,
} from "../host/driver/driver.ts";
import { isOlderThanDriver, kernelRelease, moduleState } from "../host/modules.ts";
import { SyscallError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import type { System } from "../sys/system.ts";
import { type Finding, failed, found } from "./finding.ts";

/** Looks at all of it. */
export function checkDriver(system: System): Finding[] {
  const [ofInstance, ofModule] = [instanceProblem(system), moduleProblem(system)];
  const atWork = ofInstance === undefined && ofModule === undefined;
  return [
    ofInstance === undefined ? instanceLine(system) : failed("instance", ofInstance),
    kernelLine(system),
    ofModule === undefined ? found("driver", "ok", `${DRIVER_MODULE} is loaded`) : failed("driver", ofModule),
    atWork
      ? deviceLine(system)
      : found("device", "note", `${DEVICE_PATH} comes with the driver; who may open it shows then`),
  ];
}

function instanceLine(system: System): Finding {
  const { type, id } = instanceIdentity(system);
  const device = enclavePciDevice(system);
  const name = [type ?? "not told which type it is", id].filter((part) => part !== undefined).join(", ");
  if (device === "unknown")
    return found("instance", "note", `${name}; whether enclaves are enabled cannot be told (no PCI devices)`);
  return found("instance", "ok", `${name}, started with Nitro Enclaves`);
}

function kernelLine(system: System): Finding {
  const release = kernelRelease(system);
  if (release === undefined) return found("kernel", "note", "its version cannot be told");
  if (!isOlderThanDriver(release)) return found("kernel", "ok", `Linux ${release}`);
  const brought = moduleState(system, DRIVER_MODULE) === "missing" ? "" : ", which was brought to it";
  return found("kernel", "warning", `Linux ${release} is older than the driver${brought}`);
}

/** Opens the node as a launch does, and lets go of it: nothing is asked of the driver. */
function deviceLine(system: System): Finding {
  try {
    openDevice(system).close();
    return found("device", "ok", `${DEVICE_PATH} can be opened by ${effectiveUserName(system)}`);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const { errno, why } = error;
    const isRefusal = errno === ERRNO.EACCES || errno === ERRNO.EPERM;
    const isAbsence = errno === ERRNO.ENOENT || errno === ERRNO.ENODEV || errno === ERRNO.ENXIO;
    const problem = isRefusal ? accessProblem(system, DEVICE_PATH) : missingDeviceProblem(system);
    if (isRefusal || isAbsence) return failed("device", problem);
    return failed("device", {
      why: `${DEVICE_PATH}: ${why}`,
      advice: "look for the driver's messages: dmesg | grep nitro_enclaves | tail",
    });
  }
}
