/** /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node). */
import { formatCpuList, formatCpuMask } from "../driver/cpu-list.ts";
import type { Instance } from "../topology/instance.ts";
import type { Tree } from "./tree.ts";

/** The directory of the nodes. */
export const nodeDirectory = "/sys/devices/system/node";
const KIB = 1024;

/** Adds the nodes; their huge pages are in huge-page-files.ts. */
export function addNodeFiles(tree: Tree, instance: Instance): void {
  const { cpus, nodes } = instance.topology;
  const all = Array.from({ length: nodes }, (_, node) => node);
  const list = (ids: () => readonly number[]) => () => `${formatCpuList(ids())}\n`;
  const onlineOf = (node: number): number[] => instance.online.filter((id) => cpus[id]?.node === node);
  tree.hide(nodeDirectory);
  for (const name of ["online", "possible", "has_memory", "has_normal_memory"]) {
    tree.file(
      `${nodeDirectory}/${name}`,
      list(() => all),
    );
  }
  tree.file(
    `${nodeDirectory}/has_cpu`,
    list(() => all.filter((node) => onlineOf(node).length > 0)),
  );
  tree.file(`${nodeDirectory}/has_generic_initiator`, () => "\n");
  for (const node of all) {
    const own = `${nodeDirectory}/node${node}`;
    tree.file(
      `${own}/cpulist`,
      list(() => onlineOf(node)),
      0o444,
    );
    tree.file(`${own}/cpumap`, () => `${formatCpuMask(onlineOf(node), cpus.length)}\n`);
    tree.file(`${own}/distance`, () => `${all.map((other) => (other === node ? 10 : 21)).join(" ")}\n`);
    tree.file(`${own}/meminfo`, () => meminfo(instance, node));
    tree.file(
      `${own}/compact`,
      () => "",
      0o200,
      () => {
        instance.memory.compact(node);
        return 0;
      },
    );
    for (const { id } of cpus.filter((cpu) => cpu.node === node)) {
      tree.link(`${own}/cpu${id}`, () => `../../cpu/cpu${id}`);
    }
  }
}

function meminfo(instance: Instance, node: number): string {
  const { total, free, cached } = instance.memory.figures(node);
  const row = (name: string, bytes: number): string =>
    `Node ${node} ${`${name}:`.padEnd(15)} ${String(Math.floor(bytes / KIB)).padStart(8)} kB\n`;
  const count = (name: string, pages: number): string =>
    `Node ${node} ${name}: ${String(pages).padStart(5)}\n`;
  const pages = instance.memory.defaultPool?.ofNode(node) ?? { total: 0, free: 0, surplus: 0 };
  return [
    row("MemTotal", total),
    row("MemFree", free),
    row("MemUsed", total - free),
    row("SwapCached", 0),
    row("Active", 0),
    row("Inactive", cached),
    row("Active(file)", 0),
    row("Inactive(file)", cached),
    row("FilePages", cached),
    row("AnonPages", 0),
    row("Shmem", 0),
    count("HugePages_Total", pages.total),
    count("HugePages_Free", pages.free),
    count("HugePages_Surp", pages.surplus),
  ].join("");
}
