/** include/uapi/linux/uio.h. Data only. */
import { struct, u64 } from "../struct.ts";

/** Limit of the buffers of a vectored call. */
export const UIO_MAXIOV = 1024;

/** struct iovec */
export const iovec = struct("iovec", 16, { iov_base: u64, iov_len: u64 });
