/** Whether the nitro_enclaves driver works on this parent: its PCI device, its module and its device node. */

import { listDirectory } from "../../sys/directory.ts";
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { missingModule, moduleState } from "../modules.ts";
import { asRoot, type Problem } from "../problem.ts";

/** The driver's module. */
export const DRIVER_MODULE = "nitro_enclaves";

/** PCI vendor and device id of the Nitro Enclaves device (drivers/virt/nitro_enclaves/ne_pci_dev.h). */
const PCI_ID = "0x1d0f:0xe4c1";
const PCI_DIRECTORY = "/sys/bus/pci/devices";
const DMI_DIRECTORY = "/sys/devices/virtual/dmi/id";

/** Returns the PCI address of the Nitro Enclaves device; "unknown" if sysfs does not list PCI devices. */
export function enclavePciDevice(system: System): { readonly address: string } | "none" | "unknown" {
  const addresses = listDirectory(system, PCI_DIRECTORY);
  if (addresses === undefined) return "unknown";
  const address = addresses.find((candidate) => {
    const id = (name: string) => readSmallFile(system, `${PCI_DIRECTORY}/${candidate}/${name}`)?.trim();
    return `${id("vendor")}:${id("device")}` === PCI_ID;
  });
  return address === undefined ? "none" : { address };
}

/** The instance as EC2's firmware describes it; undefined where this is not EC2's firmware. */
export interface InstanceIdentity {
  /** Such as `m5.xlarge`. */
  readonly type: string | undefined;
  /** Such as `i-0123456789abcdef0`. */
  readonly id: string | undefined;
}

/** Reads the DMI tables: on the Nitro system, product name and asset tag are the instance's type and id. */
export function instanceIdentity(system: System): InstanceIdentity {
  const dmi = (name: string) => readSmallFile(system, `${DMI_DIRECTORY}/${name}`)?.trim();
  const [type, id] = [dmi("product_name"), dmi("board_asset_tag")];
  return {
    type: type !== undefined && /^[a-z][\w-]*\.[\w-]+$/.test(type) ? type : undefined,
    id: id !== undefined && /^i-[0-9a-f]{8,32}$/.test(id) ? id : undefined,
  };
}

/** Returns how to enable enclaves for an instance, without a command that would stop it. */
function enableEnclaves(id = "INSTANCE-ID"): string {
  return (
    "enclaves can be enabled only while the instance is stopped; run then, on another machine: " +
    `aws ec2 modify-instance-attribute --instance-id ${id} --enclave-options Enabled=true`
  );
}

/** Returns why the instance has no Nitro Enclaves device; undefined if it has one, or if that cannot be determined. */
export function instanceProblem(system: System): Problem | undefined {
  if (enclavePciDevice(system) !== "none") return undefined;
  const { type, id } = instanceIdentity(system);
  const what =
    type === undefined
      ? "this machine has no Nitro Enclaves device"
      : `this ${type} was started without Nitro Enclaves`;
  return {
    why: `${what} (no PCI device 1d0f:e4c1)`,
    advice:
      `${enableEnclaves(id)}; instance types with enclaves are on the Nitro system and have at least 4 vCPUs ` +
      "(2 on Graviton)",
  };
}

/** Returns why the driver's module is not in the kernel; undefined if it is. */
export function moduleProblem(system: System): Problem | undefined {
  const state = moduleState(system, DRIVER_MODULE);
  if (state === "loaded") return undefined;
  if (state === "missing") return missingModule(system, DRIVER_MODULE);
  const problem = { why: "the driver is not loaded", command: asRoot(`modprobe ${DRIVER_MODULE}`) };
  if (enclavePciDevice(system) !== "unknown") return problem;
  const advice =
    "if the device is still missing after that, this instance was started without Nitro Enclaves: " +
    enableEnclaves();
  return { ...problem, advice };
}

/** Returns why the driver does not work; undefined if nothing is wrong with the instance or the module. */
export function driverProblem(system: System): Problem | undefined {
  return instanceProblem(system) ?? moduleProblem(system);
}

/** Returns why the device node does not exist. */
export function missingDeviceProblem(system: System): Problem {
  return (
    driverProblem(system) ?? {
      why: "the driver is loaded, but its device node does not exist",
      advice:
        "in a container, pass the device in: docker run --device /dev/nitro_enclaves; " +
        "elsewhere, read the driver's messages: dmesg | grep nitro_enclaves | tail",
    }
  );
}
