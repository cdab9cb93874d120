/**
 * Which process has the heartbeat's port, as far as other processes can see it, and why a launch could not claim it.
 */
import { listeningSockets } from "../../sys/socket/abstract.ts";
import type { System } from "../../sys/system.ts";
import { HANDOFF_NAME } from "./handoff.ts";
import { PORT_TIMEOUT_MS } from "./port.ts";
import { HEARTBEAT_PORT } from "./protocol.ts";

/** Returns the inodes of the handoff sockets in this network namespace: their processes share the port. */
export function handoffInodes(system: System): string[] {
  return listeningSockets(system, HANDOFF_NAME)
    .filter(({ name }) => name === HANDOFF_NAME || name.startsWith(`${HANDOFF_NAME}-`))
    .map(({ inode }) => inode);
}

/** Returns the problem of a port whose process does not share it. @param holder such as `nitro-cli (pid 812)`. */
export function portInUse(holder: string) {
  return {
    why: `vsock port ${HEARTBEAT_PORT} is in use by ${holder}, which does not share it`,
    // ss(8) of iproute2 reads the kernel's vsock_diag module.
    advice:
      `list its users: ss --vsock -lnp | grep ':${HEARTBEAT_PORT} '; a launch waits ${PORT_TIMEOUT_MS / 1000} s for ` +
      "it: QEMU and AWS's CLI release it after their enclave's heartbeat; with -accel nitro,heartbeat=none a launch " +
      "needs no port",
  };
}
