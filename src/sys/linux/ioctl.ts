/** include/uapi/asm-generic/ioctl.h: the direction of a request, from the view of user space. Data only. */
export const IOC_WRITE = 1;
export const IOC_READ = 2;
