/** include/uapi/linux/nitro_enclaves.h (Linux 5.10 and later). Data only. */
import { ior, iow, iowr } from "../ioctl.ts";
import { struct, u32, u64 } from "../struct.ts";

const NE_MAGIC = 0xae;

/** __u64 *slot_uid. */
const slotUid = struct("slot_uid", 8, { slot_uid: u64 });
/** __u32 *vcpu_id: 0 lets the driver choose; it writes back its choice. */
const vcpuId = struct("vcpu_id", 4, { vcpu_id: u32 });

/** struct ne_image_load_info. */
export const neImageLoadInfo = struct("ne_image_load_info", 16, { flags: u64, memory_offset: u64 });
/** struct ne_user_memory_region. */
export const neUserMemoryRegion = struct("ne_user_memory_region", 24, {
  flags: u64,
  memory_size: u64,
  userspace_addr: u64,
});
/** struct ne_enclave_start_info. */
export const neEnclaveStartInfo = struct("ne_enclave_start_info", 16, { flags: u64, enclave_cid: u64 });

export const NE_CREATE_VM = ior("NE_CREATE_VM", NE_MAGIC, 0x20, slotUid);
export const NE_ADD_VCPU = iowr("NE_ADD_VCPU", NE_MAGIC, 0x21, vcpuId);
export const NE_GET_IMAGE_LOAD_INFO = iowr("NE_GET_IMAGE_LOAD_INFO", NE_MAGIC, 0x22, neImageLoadInfo);
export const NE_SET_USER_MEMORY_REGION = iow("NE_SET_USER_MEMORY_REGION", NE_MAGIC, 0x23, neUserMemoryRegion);
export const NE_START_ENCLAVE = iowr("NE_START_ENCLAVE", NE_MAGIC, 0x24, neEnclaveStartInfo);

/** NE_IMAGE_LOAD_INFO flags: the image is an EIF. */
export const NE_EIF_IMAGE = 0x01n;
/** Granularity of memory regions, drivers/virt/nitro_enclaves/ne_misc_dev.h. */
export const NE_MIN_MEM_REGION_SIZE = 2 * 1024 * 1024;
/** Minimum memory of an enclave, the same file. */
export const NE_MIN_ENCLAVE_MEM_SIZE = 64 * 1024 * 1024;
/** ne_enclave_start_info.flags. */
export const NE_ENCLAVE_PRODUCTION_MODE = 0x00n;
export const NE_ENCLAVE_DEBUG_MODE = 0x01n;

/** The driver's parameter that holds its CPU pool, a list such as 1,3 (drivers/virt/nitro_enclaves/ne_misc_dev.c). */
export const NE_CPUS_PARAMETER = "/sys/module/nitro_enclaves/parameters/ne_cpus";

/** The driver's own errors: positive values of errno from 256 on. */
export const NE_ERRORS = {
  NE_ERR_VCPU_ALREADY_USED: 256,
  NE_ERR_VCPU_NOT_IN_CPU_POOL: 257,
  NE_ERR_VCPU_INVALID_CPU_CORE: 258,
  NE_ERR_INVALID_MEM_REGION_SIZE: 259,
  NE_ERR_INVALID_MEM_REGION_ADDR: 260,
  NE_ERR_UNALIGNED_MEM_REGION_ADDR: 261,
  NE_ERR_MEM_REGION_ALREADY_USED: 262,
  NE_ERR_MEM_NOT_HUGE_PAGE: 263,
  NE_ERR_MEM_DIFFERENT_NUMA_NODE: 264,
  NE_ERR_MEM_MAX_REGIONS: 265,
  NE_ERR_NO_MEM_REGIONS_ADDED: 266,
  NE_ERR_NO_VCPUS_ADDED: 267,
  NE_ERR_ENCLAVE_MEM_MIN_SIZE: 268,
  NE_ERR_FULL_CORES_NOT_USED: 269,
  NE_ERR_NOT_IN_INIT_STATE: 270,
  NE_ERR_INVALID_VCPU: 271,
  NE_ERR_NO_CPUS_AVAIL_IN_POOL: 272,
  NE_ERR_INVALID_PAGE_SIZE: 273,
  NE_ERR_INVALID_FLAG_VALUE: 274,
  NE_ERR_INVALID_ENCLAVE_CID: 275,
} as const;
