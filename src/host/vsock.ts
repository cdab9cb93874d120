/** Whether vsock works on this parent: the socket family, and the transport to the hypervisor. */
import { SyscallError } from "../sys/errors.ts";
import { pathExists, readSmallFile } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { VMADDR_CID_ANY, VMADDR_CID_LOCAL } from "../sys/linux/vm_sockets.ts";
import { localCid, vsockAvailable } from "../sys/socket/vsock.ts";
import type { System } from "../sys/system.ts";
import { missingModule, moduleState } from "./modules.ts";
import { asRoot, type Problem } from "./problem.ts";

const FAMILY = "vsock";
/** The parent reaches its enclaves through a virtio-pci vsock device (Documentation/virt/ne_overview.rst). */
const TRANSPORT = "vmw_vsock_virtio_transport";
const DEVICE = "/dev/vsock";
/**
 * Since Linux 7.0: "local" in a network namespace whose ports and CIDs are its own. The virtio transport reaches
 * sockets in namespaces of mode "global" only (virtio_transport_stream_allow in net/vmw_vsock/virtio_transport.c).
 */
const NAMESPACE_MODE = "/proc/sys/net/vsock/ns_mode";

/** Returns why this process cannot reach enclaves over vsock; undefined if it can, or if that cannot be determined. */
export function vsockProblem(system: System): Problem | undefined {
  if (readSmallFile(system, NAMESPACE_MODE)?.trim() === "local") return LOCAL_NAMESPACE;
  const family = moduleState(system, FAMILY);
  // The transport's package contains the family as well.
  if (family === "missing")
    return { ...missingModule(system, TRANSPORT), why: missingModule(system, FAMILY).why };
  // Creating a socket would load a module that is not loaded; a check must not.
  if (family === "loaded" || pathExists(system, DEVICE)) {
    const refused = socketProblem(system);
    if (refused !== undefined) return refused;
    const cid = localCid(system);
    if (cid !== undefined && cid !== VMADDR_CID_ANY && cid !== VMADDR_CID_LOCAL) return undefined;
    if (cid === undefined && moduleState(system, TRANSPORT) !== "loadable") return undefined;
  }
  return transportProblem(system);
}

const LOCAL_NAMESPACE: Problem = {
  why:
    "vsock is private to this network namespace (net.vsock.ns_mode=local, Linux 7): enclaves cannot reach it, so " +
    "neither heartbeat nor console can work here",
  advice:
    "the mode is fixed when a namespace is created: run nitro in the host's network namespace (docker --network " +
    "host, Kubernetes hostNetwork: true), or in one created under net.vsock.child_ns_mode=global",
};

function transportProblem(system: System): Problem | undefined {
  switch (moduleState(system, TRANSPORT)) {
    case "unknown":
      return undefined;
    case "missing":
      return missingModule(system, TRANSPORT);
    case "loaded":
      return {
        why: `vsock has no transport to enclaves: ${TRANSPORT} is loaded, but found no device`,
        advice: "the device comes with Nitro Enclaves; lspci -d 1af4: lists it, dmesg | grep vsock explains",
      };
    case "loadable":
      return {
        why: `vsock has no transport to enclaves: module ${TRANSPORT} is not loaded`,
        command: asRoot(`modprobe ${TRANSPORT}`),
      };
  }
}

function socketProblem(system: System): Problem | undefined {
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
