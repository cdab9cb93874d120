/**
 * The enclaves that run on this parent, by the processes that hold their descriptors. The driver tells nobody which
 * CPUs an enclave has: how many it was asked for is read off its launcher's command line, where that is a known one.
 */
import type { System } from "../../sys/system.ts";
import { processesWithDescriptor } from "../process/processes.ts";

/** What the kernel calls an enclave's descriptor (anon_inode_getfile in ne_misc_dev.c). */
const ENCLAVE_LINK = "anon_inode:ne-vm";
/** How many enclaves a parent runs at a time. */
export const MAX_ENCLAVES = 4;

/** A running enclave, or one that is being made. */
export interface RunningEnclave {
  readonly pid: number;
  /** The name of its launcher's program. */
  readonly program: string;
  /** vCPUs that its launcher asked for; undefined where that is not known. */
  readonly vcpus: number | undefined;
}

/** The enclaves, and whether every process could be looked at: of others' only root may see the descriptors. */
export interface RunningEnclaves {
  readonly enclaves: readonly RunningEnclave[];
  readonly complete: boolean;
}

/** Looks at every process. @param threadsPerCore what nitro gives an enclave without -smp. */
export function runningEnclaves(system: System, threadsPerCore: number): RunningEnclaves {
  const { holders, complete } = processesWithDescriptor(system, (link) => link === ENCLAVE_LINK);
  const enclaves = holders.flatMap(({ pid, words, count }) => {
    const program = words[0]?.split("/").at(-1) ?? "";
    const vcpus = vcpusFromArguments(words, program, threadsPerCore);
    return Array.from({ length: count }, () => ({ pid, program, vcpus }));
  });
  return { enclaves, complete };
}

/** What -smp says in QEMU's grammar, or the program's default. */
export function vcpusFromArguments(
  words: readonly string[],
  program: string,
  threadsPerCore: number,
): number | undefined {
  const at = words.findLastIndex((word) => word === "-smp" || word === "--smp");
  const isQemu = program.startsWith("qemu");
  if (at === -1)
    return isQemu ? 1 : program.startsWith("nitro") && program !== "nitro-cli" ? threadsPerCore : undefined;
  const number =
    /^(\d+)/.exec(words[at + 1] ?? "")?.[1] ?? /(?:^|,)cpus=(\d+)/.exec(words[at + 1] ?? "")?.[1];
  return number === undefined ? undefined : Number(number);
}

/** Enclaves in words: `nitro (process 4711, 2 vCPUs)`. */
export function enclavesText(enclaves: readonly RunningEnclave[]): string {
  return enclaves
    .map(({ pid, program, vcpus }) => {
      const cpus = vcpus === undefined ? "" : `, ${vcpus} vCPU${vcpus === 1 ? "" : "s"}`;
      return `${program} (process ${pid}${cpus})`;
    })
    .join(", ");
}

/** Cores that the enclaves have: one each at least, and as many as their vCPUs fill. */
export function coresInUse({ enclaves }: RunningEnclaves, threadsPerCore: number): number {
  return enclaves.reduce((sum, { vcpus = 1 }) => sum + Math.max(1, Math.ceil(vcpus / threadsPerCore)), 0);
}
