/** include/uapi/linux/audit.h: architectures in struct seccomp_data. Data only. */
export const AUDIT_ARCH_X86_64 = 0xc000003e;
export const AUDIT_ARCH_AARCH64 = 0xc00000b7;
