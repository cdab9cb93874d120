/** Whether vsock works on this parent: the socket family, and what carries it to the hypervisor. */
import { SyscallError } from "../sys/errors.ts";
import { pathExists } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { VMADDR_CID_ANY, VMADDR_CID_LOCAL } from "../sys/linux/vm_sockets.ts";
import { localCid, vsockAvailable } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import { missingModule, moduleState } from "./modules.ts";
import { asRoot, type Problem } from "./problem.ts";

const FAMILY = "vsock";
/** The parent has a virtio-pci device of vsock (Documentation/virt/ne_overview.rst). */
const TRANSPORT = "vmw_vsock_virtio_transport";
const DEVICE = "/dev/vsock";

/** Why this process cannot reach enclaves by vsock; undefined where it can, or nothing tells. */
export function vsockProblem(system: System): Problem | undefined {
  const family = moduleState(system, FAMILY);
  if (family === "missing") return { ...missingModule(system, FAMILY), ...install(system) };
  // Asked for only where the answer loads no module.
  if (family === "loaded" || pathExists(system, DEVICE)) {
    const refused = refusal(system);
    if (refused !== undefined) return refused;
    const cid = localCid(system);
    if (cid !== undefined && cid !== VMADDR_CID_ANY && cid !== VMADDR_CID_LOCAL) return undefined;
    if (cid === undefined && moduleState(system, TRANSPORT) !== "loadable") return undefined;
  }
  const transport = moduleState(system, TRANSPORT);
  if (transport === "unknown") return undefined;
  if (transport === "missing") return missingModule(system, TRANSPORT);
  if (transport === "loaded") {
    return {
      why: `nothing carries vsock to enclaves: ${TRANSPORT} is loaded, and has found no device`,
      advice: "the device comes with Nitro Enclaves: lspci -d 1af4: lists it; dmesg | grep vsock",
    };
  }
  return {
    why: `nothing carries vsock to enclaves: the module ${TRANSPORT} is not loaded`,
    command: asRoot(`modprobe ${TRANSPORT}`),
  };
}

/** Of the transport's package: it brings the family as well. */
function install(system: System): Partial<Problem> {
  const { command, advice } = missingModule(system, TRANSPORT);
  return { command, advice };
}

function refusal(system: System): Problem | undefined {
  try {
    vsockAvailable(system);
    return undefined;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.errno === ERRNO.EAFNOSUPPORT)
      return { why: "this kernel has no vsock (AF_VSOCK)", command: asRoot(`modprobe ${TRANSPORT}`) };
    return {
      why: `${error.call}: ${error.why}`,
      advice: "a container or a seccomp filter may forbid vsock; run nitro outside it",
    };
  }
}
