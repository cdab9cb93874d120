/** The kernel's list of vsock sockets (net/vmw_vsock/diag.c), which /proc does not have. */
import { AF_VSOCK } from "../linux/socket.ts";
import { TCP_LISTEN } from "../linux/tcp_states.ts";
import { vsockDiagMsg, vsockDiagReq } from "../linux/vm_sockets_diag.ts";
import type { System } from "../system.ts";
import { dumpSockets } from "./sock-diag.ts";

/** Returns the inode of the socket that listens on a vsock port; undefined if the kernel does not report it. */
export function vsockListenerInode(system: System, port: number): number | undefined {
  const request = vsockDiagReq.encode({
    sdiag_family: AF_VSOCK,
    sdiag_protocol: 0,
    pad: 0,
    vdiag_states: 1 << TCP_LISTEN,
    vdiag_ino: 0,
    vdiag_show: 0,
    vdiag_cookie: [0, 0],
  });
  let inode: number | undefined;
  dumpSockets(system, request, (body) => {
    if (body.length < vsockDiagMsg.size) return false;
    const { vdiag_src_port, vdiag_ino } = vsockDiagMsg.decode(body);
    if (vdiag_src_port === port) inode = vdiag_ino;
    return inode !== undefined;
  });
  return inode;
}
