/** /proc/self/cgroup and /sys/fs/cgroup, and the allowed nodes in a process's status. */
import { formatCpuList } from "../driver/cpu-list.ts";
import { E } from "../sys/errno.ts";
import { readShortFile } from "../sys/files.ts";
import { cgroupPageName, UNLIMITED_V1 } from "../topology/cgroups.ts";
import type { Instance } from "../topology/instance.ts";
import type { Tree } from "./tree.ts";

const root = "/sys/fs/cgroup";

/** Adds them. */
export function addCgroupFiles(tree: Tree, instance: Instance): void {
  tree.hide(root);
  tree.file("/proc/*/status", ({ pid }, path = `/proc/${pid}/status`) => processStatus(instance, path));
  if (instance.cgroups.version === 2) addVersion2(tree, instance);
  else addVersion1(tree, instance);
}

/** Returns the machine's own status with the nodes that the cpuset allows. */
function processStatus(instance: Instance, path: string): string | null {
  const text = readShortFile(path);
  if (text === undefined) return null;
  const mems = formatCpuList(instance.cgroups.allowed("mems", nodesOf(instance)));
  return text.replace(/^(Mems_allowed_list:\s*).*$/m, `$1${mems}`);
}

function nodesOf(instance: Instance): number[] {
  return Array.from({ length: instance.topology.nodes }, (_, node) => node);
}

/** Adds a file with a limit that can be written. */
function addLimit(
  tree: Tree,
  instance: Instance,
  directory: string,
  place: string,
  name: string,
  none: string,
) {
  const { cgroups } = instance;
  tree.file(
    `${place}/${name}`,
    () => `${cgroups.value(directory, name) ?? none}\n`,
    0o644,
    (text) => {
      const word = text.trim();
      if (!/^(max|-1|\d+[kmgKMG]?)$/.test(word) && !name.startsWith("cpu")) return E.EINVAL;
      cgroups.setValue(directory, name, inBytes(word, none));
      return 0;
    },
  );
}

function inBytes(word: string, none: string): string {
  if (word === "-1" || word === "max") return none;
  const match = /^(\d+)([kmg])$/i.exec(word);
  if (match === null) return word;
  return String(Number(match[1]) * 1024 ** (1 + "kmg".indexOf((match[2] ?? "k").toLowerCase())));
}

function addVersion2(tree: Tree, instance: Instance): void {
  const { cgroups } = instance;
  const controllers = (): string => `cpuset cpu io memory${cgroups.hasHugetlb ? " hugetlb" : ""} pids\n`;
  tree.file("/proc/*/cgroup", () => `0::${cgroups.path}\n`);
  tree.file(`${root}/cgroup.controllers`, () => "cpuset cpu io memory hugetlb pids rdma misc\n");
  tree.file(`${root}/cgroup.subtree_control`, controllers);
  tree.file(`${root}/cgroup.procs`, () => "1\n");
  addCpuset(tree, instance, "/", root);
  for (const directory of cgroups.directories) {
    const place = `${root}${directory}`;
    tree.file(`${place}/cgroup.controllers`, controllers);
    tree.file(`${place}/cgroup.subtree_control`, () => (directory === cgroups.path ? "\n" : controllers()));
    tree.file(`${place}/cgroup.type`, () => "domain\n");
    tree.file(`${place}/cgroup.procs`, ({ pid }) => (directory === cgroups.path ? `${pid}\n` : ""));
    tree.file(`${place}/memory.current`, () => "16777216\n");
    for (const name of ["memory.min", "memory.low"]) addLimit(tree, instance, directory, place, name, "0");
    for (const name of ["memory.high", "memory.max", "memory.swap.max", "pids.max"]) {
      addLimit(tree, instance, directory, place, name, "max");
    }
    addLimit(tree, instance, directory, place, "cpu.max", "max 100000");
    addCpuset(tree, instance, directory, place);
    addHugetlb(tree, instance, directory, place, ["current", "max"], "max");
  }
}

function addCpuset(tree: Tree, instance: Instance, directory: string, place: string): void {
  const { cgroups } = instance;
  const effective = (what: "mems" | "cpus") => () =>
    `${formatCpuList(cgroups.allowed(what, what === "mems" ? nodesOf(instance) : instance.online))}\n`;
  tree.file(`${place}/cpuset.mems.effective`, effective("mems"));
  tree.file(`${place}/cpuset.cpus.effective`, effective("cpus"));
  if (directory === "/") return;
  addLimit(tree, instance, directory, place, "cpuset.mems", "");
  addLimit(tree, instance, directory, place, "cpuset.cpus", "");
}

function addHugetlb(
  tree: Tree,
  instance: Instance,
  directory: string,
  place: string,
  [usage, limit]: [string, string],
  none: string,
): void {
  const { cgroups, memory } = instance;
  if (!cgroups.hasHugetlb) return;
  for (const { pageBytes } of memory.pools.values()) {
    const size = `hugetlb.${cgroupPageName(pageBytes)}`;
    const charged = (kind: "used" | "reserved") => () => {
      memory.refresh();
      return `${cgroups.charged.get(pageBytes)?.[kind] ?? 0}\n`;
    };
    tree.file(`${place}/${size}.${usage}`, charged("used"));
    tree.file(`${place}/${size}.rsvd.${usage}`, charged("reserved"));
    addLimit(tree, instance, directory, place, `${size}.${limit}`, none);
    addLimit(tree, instance, directory, place, `${size}.rsvd.${limit}`, none);
  }
}

const controllersV1 = ["hugetlb", "memory", "cpuset"];

function addVersion1(tree: Tree, instance: Instance): void {
  const { cgroups } = instance;
  const none = String(UNLIMITED_V1);
  const rows = controllersV1.map(
    (name, index) => `${controllersV1.length - index}:${name}:${cgroups.path}\n`,
  );
  tree.file("/proc/*/cgroup", () => rows.join(""));
  for (const directory of ["/", ...cgroups.directories]) {
    const place = (controller: string): string =>
      `${root}/${controller}${directory === "/" ? "" : directory}`;
    tree.file(`${place("memory")}/memory.usage_in_bytes`, () => "16777216\n");
    addLimit(tree, instance, directory, place("memory"), "memory.limit_in_bytes", none);
    addHugetlb(tree, instance, directory, place("hugetlb"), ["usage_in_bytes", "limit_in_bytes"], none);
    addLimit(tree, instance, directory, place("cpuset"), "cpuset.mems", formatCpuList(nodesOf(instance)));
    addLimit(tree, instance, directory, place("cpuset"), "cpuset.cpus", formatCpuList(instance.online));
    const effective = (): string => `${formatCpuList(cgroups.allowed("mems", nodesOf(instance)))}\n`;
    tree.file(`${place("cpuset")}/cpuset.effective_mems`, effective);
    for (const controller of controllersV1) {
      tree.file(`${place(controller)}/cgroup.procs`, ({ pid }) =>
        directory === cgroups.path ? `${pid}\n` : "",
      );
    }
  }
}
