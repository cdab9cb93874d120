/** The nitro_enclaves driver on this parent: the device that it looks for, the module, and what makes it be there. */

import { listDirectory } from "../../sys/directory.ts";
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { missingModule, moduleState } from "../modules.ts";
import { asRoot, type Problem } from "../problem.ts";

/** The driver's module. */
export const DRIVER_MODULE = "nitro_enclaves";

/** PCI vendor and device of the Nitro Enclaves device (drivers/virt/nitro_enclaves/ne_pci_dev.h). */
const PCI_ID = "0x1d0f:0xe4c1";
const PCI_FOLDER = "/sys/bus/pci/devices";

/** The PCI address of the Nitro Enclaves device; "unknown" where nothing tells of PCI devices. */
export function enclavePciDevice(system: System): { readonly address: string } | "none" | "unknown" {
  const addresses = listDirectory(system, PCI_FOLDER);
  if (addresses === undefined) return "unknown";
  const address = addresses.find((each) => {
    const id = (name: string) => readSmallFile(system, `${PCI_FOLDER}/${each}/${name}`)?.trim();
    return `${id("vendor")}:${id("device")}` === PCI_ID;
  });
  return address === undefined ? "none" : { address };
}

/** What EC2's firmware tells of the instance; a part is undefined where it tells nothing, or somebody else's does. */
export interface InstanceIdentity {
  /** Such as `m5.xlarge`. */
  readonly type: string | undefined;
  /** Such as `i-0123456789abcdef0`. */
  readonly id: string | undefined;
}

/** Reads the DMI tables: product and asset tag are the instance's type and id on the Nitro system. */
export function instanceIdentity(system: System): InstanceIdentity {
  const dmi = (name: string) => readSmallFile(system, `/sys/devices/virtual/dmi/id/${name}`)?.trim();
  const [type, id] = [dmi("product_name"), dmi("board_asset_tag")];
  return {
    type: type !== undefined && /^[a-z][\w-]*\.[\w-]+$/.test(type) ? type : undefined,
    id: id !== undefined && /^i-[0-9a-f]{8,32}$/.test(id) ? id : undefined,
  };
}

/** Enables enclaves for an instance; it must be stopped for that, so this is typed elsewhere. */
export function enableEnclaves(id = "INSTANCE-ID"): string {
  return (
    `aws ec2 stop-instances --instance-ids ${id} && aws ec2 wait instance-stopped --instance-ids ${id} && ` +
    `aws ec2 modify-instance-attribute --instance-id ${id} --enclave-options Enabled=true && ` +
    `aws ec2 start-instances --instance-ids ${id}`
  );
}

/** Why the instance has no device for the driver; undefined where it has, or nothing tells. */
export function instanceProblem(system: System): Problem | undefined {
  if (enclavePciDevice(system) !== "none") return undefined;
  const { type, id } = instanceIdentity(system);
  const what =
    type === undefined
      ? "this machine has no Nitro Enclaves device"
      : `this ${type} was started without Nitro Enclaves`;
  return {
    why: `${what} (no PCI device 1d0f:e4c1)`,
    command: enableEnclaves(id),
    advice:
      "type it elsewhere, for it stops the instance; not every type has enclaves: those of 4 vCPUs or more on Nitro, " +
      "and of 2 on Graviton",
  };
}

/** Why the driver's module is not in the kernel; undefined where it is. */
export function moduleProblem(system: System): Problem | undefined {
  const state = moduleState(system, DRIVER_MODULE);
  if (state === "loaded") return undefined;
  if (state === "missing") return missingModule(system, DRIVER_MODULE);
  const problem = { why: "the driver is not loaded", command: asRoot(`modprobe ${DRIVER_MODULE}`) };
  if (enclavePciDevice(system) !== "unknown") return problem;
  const otherwise = "if that does not make the device, this instance was started without Nitro Enclaves";
  const advice = `${otherwise}: ${enableEnclaves()}`;
  return { ...problem, advice };
}

/** Why the driver is not at work; undefined where it is. */
export function driverProblem(system: System): Problem | undefined {
  return instanceProblem(system) ?? moduleProblem(system);
}

/** Why there is no device to be opened. */
export function missingDeviceProblem(system: System): Problem {
  return (
    driverProblem(system) ?? {
      why: "the driver is loaded, and its device is not here",
      advice:
        "a container has to be given it: docker run --device /dev/nitro_enclaves; " +
        "else the driver says why: dmesg | grep nitro_enclaves | tail",
    }
  );
}
