/** The system on the hardware: memory, driver, kernel, groups, cgroups. Needs a topology. */

/** The figures of a node's huge pages of one size; a bare number is the total. */
export interface PagesInput {
  /** In the kernel's pool (nr_hugepages). */
  total: number;
  /** Those of them that another program uses. */
  used: number;
  /** Pages reserved by another program that has not touched them; reservations belong to no node. */
  reserved: number;
  /** How many more pages a write to nr_hugepages can get; if missing, as many as fit into free memory. */
  obtainable: number;
  /** How many more after memory compaction. */
  obtainableCompacted: number;
}

/** One NUMA node's memory. */
export interface NodeInput {
  memoryMiB: number;
  /** Free memory in addition to the huge pages of the start. */
  freeMiB: number;
  /** Page cache, which drop_caches frees. */
  cachedMiB: number;
  /** Huge pages by size: `2M`, `1G`, … */
  pages: Record<string, number | Partial<PagesInput>>;
}

/** The control group that the command runs in. */
export interface CgroupInput {
  version: 1 | 2;
  /** As /proc/self/cgroup shows it. */
  path: string;
  /** Files by directory of the hierarchy, such as `{"/a": {"memory.max": "1073741824"}}`. */
  limits: Record<string, Record<string, string>>;
}

/** The state of a kernel module: loaded, loadable, built in or missing. */
export type ModuleState = "loaded" | "unloaded" | "builtin" | "missing";

/** The system. */
export interface Host {
  /** Whether the instance was started with enclaves enabled: the PCI device that the driver looks for. */
  enclaveOption: boolean;
  /** Modules by name; all others are missing. */
  modules: Record<string, ModuleState>;
  /** The kernel's release, as uname(2) reports it. */
  kernel: string;
  /** Groups in addition to the machine's own: name to number. */
  groups: Record<string, number>;
  cgroup: CgroupInput;
  /** CPUs that cannot be taken offline (EBUSY), as with programs of SCHED_DEADLINE that need them. */
  busyCpus: number[];
  /** The differences of the first, second, … node. */
  nodes: Partial<NodeInput>[];
  /** Sizes of huge pages that the kernel supports. */
  hugePageSizes: string[];
  /** The default size. */
  defaultHugePage: string;
  /** The order of a pool's pages in physical memory, as they are allocated. */
  pageOrder: "ascending" | "descending" | "shuffled";
  /** How many pages are contiguous before a gap; 0 for no gap. */
  runPages: number;
  /** The seed of the shuffle. */
  seed: number;
  /** The node that programs run on; memory without a policy comes from it. */
  localNode: number;
}

/** A fresh instance of Amazon Linux 2023 with enclaves enabled and the driver loaded. */
export const defaultHost: Host = {
  enclaveOption: true,
  modules: {
    nitro_enclaves: "loaded",
    vsock: "loaded",
    vmw_vsock_virtio_transport_common: "loaded",
    vmw_vsock_virtio_transport: "loaded",
  },
  kernel: "",
  groups: { ne: 990 },
  cgroup: { version: 2, path: "/user.slice/user-0.slice/session-1.scope", limits: {} },
  busyCpus: [],
  nodes: [],
  hugePageSizes: [],
  defaultHugePage: "2M",
  pageOrder: "ascending",
  runPages: 0,
  seed: 1,
  localNode: 0,
};

const UNITS = new Map([
  ["K", 1024],
  ["M", 1024 ** 2],
  ["G", 1024 ** 3],
]);

/** Returns the bytes of a page size such as `2M`; undefined if it is not one. */
export function pageSizeBytes(text: string): number | undefined {
  const match = /^(\d+)([KMG])$/.exec(text);
  const bytes = Number(match?.[1]) * (UNITS.get(match?.[2] ?? "") ?? 0);
  return bytes > 0 && Number.isInteger(Math.log2(bytes)) ? bytes : undefined;
}

/** Returns the page sizes of a kernel of the architecture. */
export function usualPageSizes(arch: "x86_64" | "aarch64"): string[] {
  return arch === "x86_64" ? ["2M", "1G"] : ["64K", "2M", "32M", "1G"];
}

/** Returns a usual kernel release. */
export function usualKernel(arch: "x86_64" | "aarch64"): string {
  return `6.1.141-155.222.amzn2023.${arch}`;
}
