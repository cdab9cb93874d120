/**
 * The enclaves running on this parent, found by the processes that hold their file descriptors. The driver does not
 * report an enclave's CPUs; the number of vCPUs is read from the command line of a launcher whose syntax is known.
 */
import type { System } from "../../sys/system.ts";
import { lastValue, launcherOf, launcherText, type NamedLauncher } from "../process/launchers.ts";
import { processesWithDescriptor } from "../process/processes.ts";

/** The link in /proc/PID/fd of an enclave's descriptor (anon_inode_getfile in ne_misc_dev.c). */
const ENCLAVE_LINK = "anon_inode:ne-vm";
/** A parent runs at most this many enclaves at a time. */
export const MAX_ENCLAVES = 4;

/** An enclave that runs or is being created. */
export interface RunningEnclave extends NamedLauncher {
  /** vCPUs that the launcher asked for; undefined if unknown. */
  readonly vcpus: number | undefined;
}

/** The enclaves found. */
export interface RunningEnclaves {
  readonly enclaves: readonly RunningEnclave[];
  /** False if some processes could not be inspected: only root sees the descriptors of other users' processes. */
  readonly complete: boolean;
}

/**
 * Inspects every process. @param threadsPerCore the vCPUs that nitro gives an enclave without -smp.
 * @param publishedCid returns the CID that a launcher publishes.
 */
export function runningEnclaves(
  system: System,
  threadsPerCore: number,
  publishedCid: (pid: number) => number | undefined,
): RunningEnclaves {
  const { holders, complete } = processesWithDescriptor(system, (link) => link === ENCLAVE_LINK);
  const enclaves = holders.flatMap(({ pid, args, count }) => {
    const launcher = launcherOf(pid, args, publishedCid(pid));
    const vcpus = vcpusFromArguments(args, launcher.program, threadsPerCore);
    return Array.from({ length: count }, () => ({ ...launcher, vcpus }));
  });
  return { enclaves, complete };
}

/** Returns the CPUs of -smp in QEMU's grammar, or the program's default; undefined for a program of unknown syntax. */
export function vcpusFromArguments(
  args: readonly string[],
  program: string,
  threadsPerCore: number,
): number | undefined {
  const value = lastValue(args, program === "nitro-cli" ? ["cpu-count"] : ["smp"]);
  if (value === undefined) return defaultVcpus(program, threadsPerCore);
  const number = /^(\d+)/.exec(value)?.[1] ?? /(?:^|,)cpus=(\d+)/.exec(value)?.[1];
  return number === undefined ? undefined : Number(number);
}

function defaultVcpus(program: string, threadsPerCore: number): number | undefined {
  if (program.startsWith("qemu")) return 1;
  return program.startsWith("nitro") && program !== "nitro-cli" ? threadsPerCore : undefined;
}

/** Formats enclaves for a message: `nitro (pid 4711, CID 16, 2 vCPUs)`. */
export function enclavesText(enclaves: readonly RunningEnclave[]): string {
  return enclaves
    .map(({ vcpus, ...launcher }) =>
      launcherText(launcher, vcpus === undefined ? [] : [`${vcpus} vCPU${vcpus === 1 ? "" : "s"}`]),
    )
    .join(", ");
}

/** Returns the number of cores in use: per enclave as many as its vCPUs fill, at least one. */
export function coresInUse({ enclaves }: RunningEnclaves, threadsPerCore: number): number {
  return enclaves.reduce((sum, { vcpus = 1 }) => sum + Math.max(1, Math.ceil(vcpus / threadsPerCore)), 0);
}
