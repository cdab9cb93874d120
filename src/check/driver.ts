/** Checks the instance, the kernel, the driver and its device node. */
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
import { type Finding, failure, finding } from "./finding.ts";

/** Runs the checks. */
export function checkDriver(system: System): Finding[] {
  const [ofInstance, ofModule] = [instanceProblem(system), moduleProblem(system)];
  const loaded = ofInstance === undefined && ofModule === undefined;
  return [
    ofInstance === undefined ? instanceLine(system) : failure("instance", ofInstance),
    kernelLine(system),
    ofModule === undefined
      ? finding("driver", "ok", `${DRIVER_MODULE} is loaded`)
      : failure("driver", ofModule),
    loaded
      ? deviceLine(system)
      : finding("device", "note", `${DEVICE_PATH} can be checked once the driver is loaded`),
  ];
}

function instanceLine(system: System): Finding {
  const { type, id } = instanceIdentity(system);
  const name = [type ?? "unknown instance type", id].filter((text) => text !== undefined).join(", ");
  if (enclavePciDevice(system) === "unknown")
    return finding("instance", "note", `${name}; cannot tell whether enclaves are enabled (no PCI devices)`);
  return finding("instance", "ok", `${name}, started with Nitro Enclaves`);
}

function kernelLine(system: System): Finding {
  const release = kernelRelease(system);
  if (release === undefined) return finding("kernel", "note", "unknown version");
  if (!isOlderThanDriver(release)) return finding("kernel", "ok", `Linux ${release}`);
  const backported = moduleState(system, DRIVER_MODULE) === "missing" ? "" : ", which is backported";
  return finding("kernel", "warning", `Linux ${release} is older than the driver${backported}`);
}

/** Opens and closes the device as a launch does, without calling the driver's ioctls. */
function deviceLine(system: System): Finding {
  try {
    openDevice(system).close();
    return finding("device", "ok", `${effectiveUserName(system)} may open ${DEVICE_PATH}`);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    switch (error.errno) {
      case ERRNO.EACCES:
      case ERRNO.EPERM:
        return failure("device", accessProblem(system, DEVICE_PATH));
      case ERRNO.ENOENT:
      case ERRNO.ENODEV:
      case ERRNO.ENXIO:
        return failure("device", missingDeviceProblem(system));
      default:
        return failure("device", {
          why: `${DEVICE_PATH}: ${error.why}`,
          advice: "read the driver's messages: dmesg | grep nitro_enclaves | tail",
        });
    }
  }
}
