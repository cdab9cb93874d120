/** include/uapi/linux/unix_diag.h. Data only. */
import { array, struct, u8, u16, u32 } from "../struct.ts";

export const UDIAG_SHOW_NAME = 0x1;
export const UDIAG_SHOW_UID = 0x40;
export const UNIX_DIAG_NAME = 0;
export const UNIX_DIAG_UID = 7;

/** struct unix_diag_req */
export const unixDiagReq = struct("unix_diag_req", 24, {
  sdiag_family: u8,
  sdiag_protocol: u8,
  pad: u16,
  udiag_states: u32,
  udiag_ino: u32,
  udiag_show: u32,
  udiag_cookie: array(u32, 2),
});

/** struct unix_diag_msg */
export const unixDiagMsg = struct("unix_diag_msg", 16, {
  udiag_family: u8,
  udiag_type: u8,
  udiag_state: u8,
  pad: u8,
  udiag_ino: u32,
  udiag_cookie: array(u32, 2),
});
