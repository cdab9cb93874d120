/** The nitro_enclaves driver on this parent: the device that it looks for, the module, and what makes it be there. */

import { SyscallError } from "../sys/failure.ts";
import { pathExists, readSmallFile, readText } from "../sys/files.ts";
import { listFolder } from "../sys/folders.ts";
import type { System } from "../sys/system.ts";

/** PCI vendor and device of the Nitro Enclaves device (drivers/virt/nitro_enclaves/ne_pci_dev.h). */
const PCI_ID = "0x1d0f:0xe4c1";
const PCI_FOLDER = "/sys/bus/pci/devices";

/** Whether a module is in the kernel, could be loaded, is not there, or nothing tells. */
export type ModuleState = "loaded" | "loadable" | "missing" | "unknown";

/** The state of a module by its name with underscores. */
export function moduleState(system: System, name: string): ModuleState {
  if (pathExists(system, `/sys/module/${name}`)) return "loaded";
  const release = kernelRelease(system);
  if (release === undefined) return "unknown";
  const file = new RegExp(`/${name.replaceAll("_", "[_-]")}\\.ko\\b`);
  const lists = ["dep", "builtin"].map((list) => textOf(system, `/lib/modules/${release}/modules.${list}`));
  if (lists.every((list) => list === undefined)) return "unknown";
  return lists.some((list) => list !== undefined && file.test(list)) ? "loadable" : "missing";
}

function textOf(system: System, path: string): string | undefined {
  try {
    return readText(system, path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return undefined;
  }
}

/** The kernel's release, such as `6.1.141-155.222.amzn2023.x86_64`. */
export function kernelRelease(system: System): string | undefined {
  return readSmallFile(system, "/proc/sys/kernel/osrelease")?.trim();
}

/** The PCI address of the Nitro Enclaves device; "unknown" where nothing tells of PCI devices. */
export function enclaveDevice(system: System): { readonly address: string } | "none" | "unknown" {
  const addresses = listFolder(system, PCI_FOLDER);
  if (addresses === undefined) return "unknown";
  const address = addresses.find((each) => {
    const id = (name: string) => readSmallFile(system, `${PCI_FOLDER}/${each}/${name}`)?.trim();
    return `${id("vendor")}:${id("device")}` === PCI_ID;
  });
  return address === undefined ? "none" : { address };
}

/** What EC2's firmware tells of the instance; a part is undefined where it tells nothing, or somebody else's does. */
export interface Instance {
  /** Such as `m5.xlarge`. */
  readonly type: string | undefined;
  /** Such as `i-0123456789abcdef0`. */
  readonly id: string | undefined;
}

/** Reads the DMI tables: product and asset tag are the instance's type and id on the Nitro system. */
export function instance(system: System): Instance {
  const dmi = (name: string) => readSmallFile(system, `/sys/devices/virtual/dmi/id/${name}`)?.trim();
  const [type, id] = [dmi("product_name"), dmi("board_asset_tag")];
  return {
    type: type !== undefined && /^[a-z][\w-]*\.[\w-]+$/.test(type) ? type : undefined,
    id: id !== undefined && /^i-[0-9a-f]{8,32}$/.test(id) ? id : undefined,
  };
}

/** Why the driver's device is not there, and what makes it. */
export interface DriverFault {
  readonly why: string;
  /** What to type. */
  readonly mend: string;
}

/** Enables enclaves for an instance; it must be stopped for that, so this is typed elsewhere. */
export function enableEnclaves(id = "INSTANCE-ID"): string {
  return (
    `aws ec2 stop-instances --instance-ids ${id} && aws ec2 wait instance-stopped --instance-ids ${id} && ` +
    `aws ec2 modify-instance-attribute --instance-id ${id} --enclave-options Enabled=true && ` +
    `aws ec2 start-instances --instance-ids ${id}`
  );
}

/** Why the driver is not at work; undefined where it is. */
export function driverFault(system: System): DriverFault | undefined {
  const state = moduleState(system, "nitro_enclaves");
  if (enclaveDevice(system) === "none") {
    const { type, id } = instance(system);
    const what =
      type === undefined
        ? "this machine has no Nitro Enclaves device"
        : `this ${type} was started without Nitro Enclaves`;
    return { why: `${what} (no PCI device 1d0f:e4c1)`, mend: enableEnclaves(id) };
  }
  if (state === "loaded") return undefined;
  if (state === "missing") {
    return {
      why: `the kernel ${kernelRelease(system) ?? ""} has no module nitro_enclaves`,
      mend:
        "install the package with more of the kernel's modules (linux-modules-extra-aws, kernel-modules-extra), " +
        "or another kernel",
    };
  }
  return { why: "the driver is not loaded", mend: "modprobe nitro_enclaves" };
}
