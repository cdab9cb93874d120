/** include/uapi/linux/vm_sockets_diag.h. Data only. */
import { array, struct, u8, u16, u32 } from "../struct.ts";

/** struct vsock_diag_req */
export const vsockDiagReq = struct("vsock_diag_req", 24, {
  sdiag_family: u8,
  sdiag_protocol: u8,
  pad: u16,
  vdiag_states: u32,
  vdiag_ino: u32,
  vdiag_show: u32,
  vdiag_cookie: array(u32, 2),
});

/** struct vsock_diag_msg */
export const vsockDiagMsg = struct("vsock_diag_msg", 32, {
  vdiag_family: u8,
  vdiag_type: u8,
  vdiag_state: u8,
  vdiag_shutdown: u8,
  vdiag_src_cid: u32,
  vdiag_src_port: u32,
  vdiag_dst_cid: u32,
  vdiag_dst_port: u32,
  vdiag_ino: u32,
  vdiag_cookie: array(u32, 2),
});
