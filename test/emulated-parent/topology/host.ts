/** What the system on the hardware is like: memory, driver, kernel, groups, cgroups. Needs a topology. */

/** What may be said of a node's huge pages of one size; a bare number is the total. */
export interface PagesInput {
  /** In the kernel's pool (nr_hugepages). */
  total: number;
  /** Of these, pages that another program holds. */
  used: number;
  /** Pages that another program was promised and has not touched; promises belong to no node. */
  reserved: number;
  /** How many more a write to nr_hugepages can get; as many as free memory has room for without it. */
  obtainable: number;
  /** How many more after memory was compacted. */
  obtainableCompacted: number;
}

/** One NUMA node's memory. */
export interface NodeInput {
  memoryMiB: number;
  /** Free beside the huge pages of the start. */
  freeMiB: number;
  /** Page cache, which drop_caches makes free. */
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

/** Whether a kernel module is loaded, can be, is built in, or is not there at all. */
export type ModuleState = "loaded" | "unloaded" | "builtin" | "missing";

/** Everything that can be said of the system. */
export interface Host {
  /** Whether the instance was started with enclaves enabled: the PCI device that the driver looks for. */
  enclaveOption: boolean;
  /** Modules by name; those not named are not there. */
  modules: Record<string, ModuleState>;
  /** The kernel's release, as uname(2) tells it. */
  kernel: string;
  /** Groups beside the machine's own: name to number. */
  groups: Record<string, number>;
  cgroup: CgroupInput;
  /** CPUs that cannot be taken offline (EBUSY), as beside programs of SCHED_DEADLINE that need them. */
  busyCpus: number[];
  /** What differs of the first, second, … node. */
  nodes: Partial<NodeInput>[];
  /** Sizes of huge pages that the kernel knows. */
  hugePageSizes: string[];
  /** The default one of these. */
  defaultHugePage: string;
  /** How a pool's pages lie in physical memory, in the order in which they are given out. */
  pageOrder: "ascending" | "descending" | "shuffled";
  /** How many pages lie side by side before a gap; 0 for no gap. */
  runPages: number;
  /** What the shuffle begins with. */
  seed: number;
  /** The node that programs run on, which memory without a policy comes from. */
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

/** Bytes of a page size such as `2M`; undefined where it is none. */
export function pageSizeBytes(text: string): number | undefined {
  const match = /^(\d+)([KMG])$/.exec(text);
  const bytes = Number(match?.[1]) * (UNITS.get(match?.[2] ?? "") ?? 0);
  return bytes > 0 && Number.isInteger(Math.log2(bytes)) ? bytes : undefined;
}

/** What a kernel of the architecture has. */
export function usualPageSizes(arch: "x86_64" | "aarch64"): string[] {
  return arch === "x86_64" ? ["2M", "1G"] : ["64K", "2M", "32M", "1G"];
}

/** A release of the kernel as it usually is there. */
export function usualKernel(arch: "x86_64" | "aarch64"): string {
  return `6.1.141-155.222.amzn2023.${arch}`;
}
