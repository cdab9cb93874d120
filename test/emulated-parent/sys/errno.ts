/** Names of errors: the C library's and, from 256 on, the driver's own. */
import { constants } from "node:os";

/** The driver's own errors (linux/nitro_enclaves.h). */
export const NE_ERR = {
  VCPU_ALREADY_USED: 256,
  VCPU_NOT_IN_CPU_POOL: 257,
  VCPU_INVALID_CPU_CORE: 258,
  INVALID_MEM_REGION_SIZE: 259,
  INVALID_MEM_REGION_ADDR: 260,
  UNALIGNED_MEM_REGION_ADDR: 261,
  MEM_REGION_ALREADY_USED: 262,
  MEM_NOT_HUGE_PAGE: 263,
  MEM_DIFFERENT_NUMA_NODE: 264,
  MEM_MAX_REGIONS: 265,
  NO_MEM_REGIONS_ADDED: 266,
  NO_VCPUS_ADDED: 267,
  ENCLAVE_MEM_MIN_SIZE: 268,
  FULL_CORES_NOT_USED: 269,
  NOT_IN_INIT_STATE: 270,
  INVALID_VCPU: 271,
  NO_CPUS_AVAIL_IN_POOL: 272,
  INVALID_PAGE_SIZE: 273,
  INVALID_FLAG_VALUE: 274,
  INVALID_ENCLAVE_CID: 275,
} as const;

/** The C library's errors that the emulation returns (asm-generic/errno.h, errno-base.h). */
export const E = constants.errno;

const numbers = new Map<string, number>(Object.entries(constants.errno));
for (const [name, number] of Object.entries(NE_ERR)) numbers.set(`NE_ERR_${name}`, number);

const names = new Map<number, string>();
for (const [name, number] of numbers) if (!names.has(number)) names.set(number, name);

/**
 * Returns the name of an error number, such as `EBUSY` or `NE_ERR_MEM_MAX_REGIONS`; the number itself if it has none.
 */
export function errnoName(number: number): string {
  return names.get(number) ?? String(number);
}

/** Returns the number of an error given by name or by number; undefined if there is none. */
export function errnoNumber(value: number | string): number | undefined {
  if (typeof value === "number")
    return Number.isInteger(value) && value > 0 && value < 4096 ? value : undefined;
  return numbers.get(value);
}

/** The number of a signal's name, such as `SIGTERM`. */
export function signalNumber(name: string): number | undefined {
  return new Map<string, number>(Object.entries(constants.signals)).get(name);
}

/** The name of a signal's number. */
export function signalName(number: number): string {
  for (const [name, value] of Object.entries(constants.signals)) if (value === number) return name;
  return String(number);
}
