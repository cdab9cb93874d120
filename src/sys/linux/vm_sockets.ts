/** include/uapi/linux/vm_sockets.h. Data only. */
import { array, struct, u8, u16, u32 } from "../struct.ts";

export const VMADDR_CID_ANY = 0xffffffff;
export const VMADDR_CID_HYPERVISOR = 0;
export const VMADDR_CID_LOCAL = 1;
export const VMADDR_CID_HOST = 2;

/** _IO(7, 0xb9) of /dev/vsock; despite _IO it fills an unsigned int. */
export const IOCTL_VM_SOCKETS_GET_LOCAL_CID = 0x7b9;

/** struct sockaddr_vm; the last three bytes are its svm_zero. */
export const sockaddrVm = struct("sockaddr_vm", 16, {
  svm_family: u16,
  svm_reserved1: u16,
  svm_port: u32,
  svm_cid: u32,
  svm_flags: u8,
  svm_zero: array(u8, 3),
});
