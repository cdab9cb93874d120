/** Who holds the heartbeat's port, as far as that can be told from outside, and why a launch could not take it. */
import { listeningSockets } from "../../sys/socket/abstract.ts";
import type { System } from "../../sys/system.ts";
import { DOOR, HEARTBEAT_PORT, PORT_PATIENCE_MS } from "./port.ts";

/** A launcher of nitro's that shares the port: a process that has its door open. */
export interface SharingLauncher {
  readonly pid: number;
  readonly uid: number;
}

/** The doors that are open in this network namespace, by the inodes of their sockets. */
export function doorInodes(system: System): string[] {
  return listeningSockets(system, DOOR)
    .filter(({ name }) => name === DOOR || name.startsWith(`${DOOR}-`))
    .map(({ inode }) => inode);
}

/** Why the port cannot be had while somebody holds it who does not share it, and what frees it. */
export const PORT_HELD = {
  why: `vsock port ${HEARTBEAT_PORT} is held by a program that does not share it`,
  // ss(8) of iproute2; the kernel's vsock_diag module tells it.
  command: `kill $(ss --vsock -lnpH | grep ':${HEARTBEAT_PORT} ' | grep -o 'pid=[0-9]*' | cut -c5-)`,
  advice:
    `a launch waits ${PORT_PATIENCE_MS / 1000} s for it: QEMU and AWS's CLI give it back after their enclave's ` +
    "heartbeat; what is killed takes its enclave along; with -accel nitro,heartbeat=none a launch needs no port",
} as const;
