/**
 * The driver's errors, each with its cause and a hint in the user's own numbers. The checks and their order are in
 * drivers/virt/nitro_enclaves/ne_misc_dev.c. Every refusal is also a line in dmesg, for some of them the only place
 * with the reason.
 */
import { errnoName, type SyscallError, UserError } from "../sys/errors.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { NE_CPUS_PARAMETER, type NE_ERRORS } from "../sys/linux/nitro_enclaves.ts";

/** The numbers of a launch that explain an error. */
export interface LaunchNumbers {
  /** `-smp 4`, or `-smp 2 (the default)`. */
  readonly smp: string;
  readonly vcpus: number;
  /** vCPUs added before the error. */
  readonly vcpusAdded: number;
  /** `-m 512M`, or `-m 128M (the default)`. */
  readonly memory: string;
  readonly memoryBytes: number;
  /** The pages: `256 huge pages of 2 MiB`. */
  readonly pages: string;
  /** The number of regions; undefined if it is unknown. */
  readonly regions?: number | undefined;
  /** The CPUs that the user selected. */
  readonly cpuIds?: readonly number[] | undefined;
  /** The NUMA node of the memory; undefined on a machine with one node. */
  readonly node: number | undefined;
  readonly cid: bigint;
  /** The driver's CPU pool; "" if it is empty, undefined if it cannot be read. */
  readonly pool: string | undefined;
  readonly threadsPerCore: number;
  readonly eifPath: string;
  /** Whether the image is signed; the hypervisor checks the certificate. */
  readonly signed: boolean;
  readonly debugMode: boolean;
}

interface Explanation {
  /** Replaces "NE_… failed with …". */
  readonly what?: string;
  readonly why: (n: LaunchNumbers, call: string) => string;
  readonly hint: (n: LaunchNumbers) => string;
}

const DMESG = "dmesg | grep nitro_enclaves | tail";
function poolText(n: LaunchNumbers): string {
  if (n.pool === undefined) return `the CPU pool cannot be read (${NE_CPUS_PARAMETER})`;
  return n.pool === "" ? "the CPU pool is empty" : `the CPU pool is ${n.pool}`;
}

/** The CPU in question. The driver returns the same errors for CPUs that it chose itself. */
function cpuText({ cpuIds, vcpusAdded }: LaunchNumbers): string {
  return cpuIds === undefined ? "the CPU" : `CPU ${cpuIds[vcpusAdded]} (cpu-ids)`;
}

/** How to enlarge the pool. Restarting nitro-enclaves-allocator would stop the services that require it. */
function moreCpus({ pool = "", vcpus, vcpusAdded, threadsPerCore }: LaunchNumbers): string {
  const cores = Math.ceil((poolSize(pool) + vcpus - vcpusAdded) / threadsPerCore);
  return (
    `enlarge the pool, as root, while no enclave runs: nitro pool --cpus ${cores * threadsPerCore} ` +
    "(and cpu_count in /etc/nitro_enclaves/allocator.yaml, if nitro-enclaves-allocator makes the pool at boot)"
  );
}

/** The number of CPUs in a list such as `1-4,9`. */
function poolSize(list: string): number {
  let size = 0;
  for (const range of list.split(",").filter((text) => text !== "")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    size += last - first + 1;
  }
  return size;
}

function report(): string {
  return `this is a bug of nitro; please report it with the output of: ${DMESG}`;
}

/** The driver's own error codes. */
const DRIVER: Readonly<Record<keyof typeof NE_ERRORS, Explanation>> = {
  NE_ERR_VCPU_ALREADY_USED: {
    why: (n) => `${cpuText(n)} already belongs to this enclave (after ${n.vcpusAdded} of ${n.vcpus} vCPUs)`,
    hint: report,
  },
  NE_ERR_VCPU_NOT_IN_CPU_POOL: {
    why: (n) => `${cpuText(n)} is not in the pool, or its core is in use by another enclave; ${poolText(n)}`,
    hint: (n) =>
      n.cpuIds === undefined
        ? moreCpus(n)
        : `select another core with cpu-ids, or leave it out to let the driver choose; or ${moreCpus(n)}`,
  },
  NE_ERR_VCPU_INVALID_CPU_CORE: {
    why: (n) =>
      n.cpuIds === undefined
        ? `the pool has a CPU core that the driver cannot use; ${poolText(n)}`
        : `${cpuText(n)} is on a core that the driver cannot use; ${poolText(n)}`,
    hint: () => `the kernel log says which one: ${DMESG}`,
  },
  NE_ERR_INVALID_MEM_REGION_SIZE: {
    why: (n) => `${n.memory} is ${n.memoryBytes} bytes, which is not a multiple of 2 MiB`,
    hint: (n) => `use whole huge pages: -m ${Math.ceil(n.memoryBytes / 2 ** 21) * 2}M`,
  },
  NE_ERR_INVALID_MEM_REGION_ADDR: {
    why: () => "the address of the memory is not in user space",
    hint: report,
  },
  NE_ERR_UNALIGNED_MEM_REGION_ADDR: { why: () => "the memory is not aligned to 2 MiB", hint: report },
  NE_ERR_MEM_REGION_ALREADY_USED: {
    why: () => "the memory overlaps a region that was donated already",
    hint: report,
  },
  NE_ERR_MEM_NOT_HUGE_PAGE: {
    why: (n) => `the memory (${n.memory}) does not consist of huge pages`,
    hint: () => "each such failure costs one huge page until the next reboot; do not retry in a loop",
  },
  NE_ERR_MEM_DIFFERENT_NUMA_NODE: {
    why: (n) =>
      `the driver finds some of ${n.pages} on another NUMA node than the CPU pool; ${poolText(n)}` +
      (n.node === undefined
        ? ""
        : `, which is on node ${n.node} according to sysfs; the kernel reports that the pages are on that node, too`),
    hint: () =>
      "each such failure costs one huge page until the next reboot; do not retry in a loop; " +
      "ls -d /sys/devices/system/cpu/cpu*/node* shows the node of each CPU; numactl --membind=N binds nitro to a node",
  },
  NE_ERR_MEM_MAX_REGIONS: {
    why: (n) =>
      `${n.pages} (${n.memory}) are fragmented into more regions than the driver accepts` +
      (n.regions === undefined ? "" : `: ${n.regions} regions, even in physical order`),
    hint: (n) =>
      "use less memory (-m) or 1 GiB pages, or reserve the huge pages at boot, when memory is contiguous" +
      (n.regions === undefined
        ? "; as root (CAP_SYS_ADMIN) nitro maps them in physical order, which gives the fewest regions"
        : ""),
  },
  NE_ERR_NO_MEM_REGIONS_ADDED: { why: () => "the enclave has no memory", hint: report },
  NE_ERR_NO_VCPUS_ADDED: { why: () => "the enclave has no vCPU", hint: report },
  NE_ERR_ENCLAVE_MEM_MIN_SIZE: {
    why: (n) => `${n.memory} is less than 64 MiB, the minimum of an enclave`,
    hint: () => "use -m 64M or more",
  },
  NE_ERR_FULL_CORES_NOT_USED: {
    why: (n) =>
      n.vcpus % n.threadsPerCore === 0
        ? `${n.smp} leaves a thread of a core unused: the pool's cores have more threads than CPU 0's ` +
          `(${n.threadsPerCore}), or another process holds a core`
        : `${n.smp} leaves a thread of a core unused; cores have ${n.threadsPerCore} threads here`,
    hint: (n) => `use -smp ${Math.ceil((n.vcpus + 1) / 2) * 2}; lscpu -e shows which CPUs share a core`,
  },
  NE_ERR_NOT_IN_INIT_STATE: {
    why: (_, call) => `the enclave was started already; ${call} must come before`,
    hint: report,
  },
  NE_ERR_INVALID_VCPU: {
    why: (n) => `${cpuText(n)} is beyond this machine's CPUs; ${poolText(n)}`,
    hint: () => "lscpu -e lists the CPUs",
  },
  NE_ERR_NO_CPUS_AVAIL_IN_POOL: {
    why: (n, call) =>
      call === "NE_ADD_VCPU"
        ? `no CPU is left in the pool after ${n.vcpusAdded} of ${n.vcpus} vCPUs (${n.smp})` +
          // NE_CREATE_VM has checked that a core was free.
          (n.vcpusAdded === 0 ? ": another launch has just taken the last core" : "") +
          `; ${poolText(n)}`
        : `the pool has no free core (${n.smp}); ${poolText(n)}${n.pool ? ", all of it in use" : ""}`,
    hint: moreCpus,
  },
  NE_ERR_INVALID_PAGE_SIZE: {
    why: () => "the memory has pages smaller than 2 MiB, or starts inside a larger page",
    hint: () => "each such failure costs one huge page until the next reboot; do not retry in a loop",
  },
  NE_ERR_INVALID_FLAG_VALUE: { why: (_, call) => `the driver does not know a flag of ${call}`, hint: report },
  NE_ERR_INVALID_ENCLAVE_CID: {
    why: (n) => `the driver refuses CID ${n.cid}`,
    hint: () => "use enclave-cid=4 up to 4294967294, or leave it out to have one chosen",
  },
};

/** Errno values whose cause is known better than strerror(3) says. */
function plainReason(call: string, errno: number, n: LaunchNumbers): Explanation | undefined {
  const dmesg = () => `the driver's reason is in the kernel log: ${DMESG}`;
  switch (errno) {
    case ERRNO.EIO:
      return {
        why: () =>
          "the call came from another process than the one that created the enclave, or the device failed",
        hint: dmesg,
      };
    case ERRNO.EFAULT:
      return call === "NE_SET_USER_MEMORY_REGION"
        ? {
            why: () => `a huge page of ${n.memory} could not be allocated`,
            hint: () => "grep Huge /proc/meminfo shows free and reserved huge pages",
          }
        : { why: () => "the kernel could not reach the program's memory", hint: report };
    case ERRNO.ENOMEM:
      return { why: () => "the kernel has no memory left for the driver's own tables", hint: dmesg };
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return { why: () => "there are too many open files", hint: () => "raise the limit: ulimit -n" };
    case ERRNO.ETIMEDOUT:
      return {
        why: () => "the Nitro hypervisor did not answer within the driver's 120 seconds",
        hint: () => "the slot may stay lost until the instance is rebooted; see the kernel log: dmesg | tail",
      };
    case ERRNO.EPERM:
    case ERRNO.EACCES:
      return { why: () => "the caller lacks permission", hint: dmesg };
    case ERRNO.ENOTTY:
      return {
        why: () => "/dev/nitro_enclaves is not the Nitro Enclaves device",
        hint: () =>
          "ls -l /dev/nitro_enclaves should show a character device; modprobe nitro_enclaves creates it",
      };
    default:
      if (call === "NE_CREATE_VM") return CREATE_REFUSED;
      return call === "NE_START_ENCLAVE" ? startRefused(errno, n) : undefined;
  }
}

/** The device's answer without a free slot is not documented. */
const CREATE_REFUSED: Explanation = {
  why: () =>
    "the hypervisor has no slot for another enclave; at most four run on a parent instance at a time",
  hint: () =>
    `list the launchers that run: ls -l /proc/[0-9]*/fd 2>/dev/null | grep ne-vm; the kernel log: ${DMESG}`,
};

function startRefused(errno: number, n: LaunchNumbers): Explanation {
  const signature = n.signed ? ", or its signing certificate" : "";
  const cid = n.cid === 0n ? "" : `, or CID ${n.cid} is in use by another enclave`;
  return {
    what: `the hypervisor refused to start the enclave (${errnoName(errno)})`,
    why: () => `image not accepted (${n.eifPath}${signature})${cid}`,
    hint: () =>
      `the kernel log has the reason: ${DMESG}` +
      (n.cid === 0n ? "" : "; leave out enclave-cid to have a free CID chosen"),
  };
}

/** Turns a failed ioctl into an error: the call and its code, the cause, a hint. */
export function diagnoseIoctl(error: SyscallError, numbers: LaunchNumbers): UserError {
  const driver: Readonly<Record<string, Explanation>> = DRIVER;
  const row = driver[errnoName(error.errno)] ?? plainReason(error.call, error.errno, numbers);
  if (row === undefined) {
    return new UserError(
      `${error.call} failed`,
      error.why,
      `the driver's reason is in the kernel log: ${DMESG}`,
    );
  }
  return new UserError(
    row.what ?? `${error.call} failed with ${error.why}`,
    row.why(numbers, error.call),
    row.hint(numbers),
  );
}
