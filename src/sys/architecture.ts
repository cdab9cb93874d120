/** The architecture of this program and of the kernel it runs on. */

/** `x86_64` or `aarch64`, the kernel's names. */
export const KERNEL_ARCHITECTURE = process.arch === "arm64" ? "aarch64" : "x86_64";
