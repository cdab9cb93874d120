/** The architecture of this program, and so of the kernel that it calls: what differs between the two is data. */

/** `x86_64` or `aarch64`, as the kernel names them. */
export const KERNEL_ARCHITECTURE = process.arch === "arm64" ? "aarch64" : "x86_64";
