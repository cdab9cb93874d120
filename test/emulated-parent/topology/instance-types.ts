/**
 * Instance types by name. Cores, threads and memory are those of EC2's DescribeInstanceTypes; sockets, nodes and
 * numbering are those that lscpu shows (README.md lists the guesses).
 */
import type { TopologyInput } from "./topology.ts";

const GIB = 1024;

function x86(
  instance: string,
  processor: string,
  cores: number,
  memoryGiB: number,
  sockets = 1,
): [string, TopologyInput] {
  const type: TopologyInput = {
    ...{ instance, arch: "x86_64", sockets, nodes: sockets, cores, threadsPerCore: 2, numbering: "split" },
    ...{ memoryMiB: memoryGiB * GIB, processor },
  };
  return [instance, type];
}

function graviton(
  instance: string,
  processor: string,
  cores: number,
  memoryGiB: number,
): [string, TopologyInput] {
  const type: TopologyInput = {
    ...{ instance, arch: "aarch64", sockets: 1, nodes: 1, cores, threadsPerCore: 1, numbering: "split" },
    ...{ memoryMiB: memoryGiB * GIB, processor },
  };
  return [instance, type];
}

const SKYLAKE = "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz";
const ICE_LAKE = "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz";
const HIGH_MEMORY = "Intel(R) Xeon(R) Platinum 8280L CPU @ 2.70GHz";

/** The presets. */
export const instanceTypes = new Map<string, TopologyInput>([
  x86("m5.xlarge", SKYLAKE, 2, 16),
  x86("m5.2xlarge", SKYLAKE, 4, 32),
  x86("m5.24xlarge", SKYLAKE, 48, 384, 2),
  x86("c6i.xlarge", ICE_LAKE, 2, 8),
  x86("c6i.24xlarge", ICE_LAKE, 48, 192, 2),
  x86("u-3tb1.56xlarge", HIGH_MEMORY, 112, 3072, 4),
  x86("u-6tb1.112xlarge", HIGH_MEMORY, 224, 6144, 8),
  graviton("r6g.2xlarge", "Neoverse-N1", 8, 64),
  graviton("c6g.xlarge", "Neoverse-N1", 4, 8),
  graviton("c7g.16xlarge", "Neoverse-V1", 64, 128),
]);
