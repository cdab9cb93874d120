/** /sys/devices/system/cpu and /sys/devices/system/node's CPUs (Documentation/ABI/testing/sysfs-devices-system-cpu). */
import { formatCpuList, formatCpuMask } from "../driver/cpu-list.ts";
import { E } from "../sys/errno.ts";
import type { Instance } from "../topology/instance.ts";
import type { Cpu } from "../topology/topology.ts";
import type { Tree } from "./tree.ts";

const directory = "/sys/devices/system/cpu";

/** Adds the CPUs. */
export function addCpuFiles(tree: Tree, instance: Instance): void {
  const { cpus, threadsPerCore } = instance.topology;
  const all = cpus.map(({ id }) => id);
  const list = (ids: () => readonly number[]) => () => `${formatCpuList(ids())}\n`;
  tree.hide(directory);
  tree.file(
    `${directory}/online`,
    list(() => instance.online),
  );
  tree.file(
    `${directory}/offline`,
    list(() => instance.offline),
  );
  tree.file(
    `${directory}/present`,
    list(() => all),
  );
  tree.file(
    `${directory}/possible`,
    list(() => all),
  );
  tree.file(`${directory}/isolated`, () => "\n");
  tree.file(`${directory}/kernel_max`, () => "8191\n");
  const multithreaded = threadsPerCore > 1;
  tree.file(`${directory}/smt/active`, () => `${Number(multithreaded)}\n`);
  tree.file(`${directory}/smt/control`, () => (multithreaded ? "on\n" : "notsupported\n"));
  for (const cpu of cpus) addCpu(tree, instance, cpu);
}

function addCpu(tree: Tree, instance: Instance, cpu: Cpu): void {
  const own = `${directory}/cpu${cpu.id}`;
  tree.link(`${own}/node${cpu.node}`, () => `../../node/node${cpu.node}`);
  tree.file(`${own}/uevent`, () => "", 0o644);
  // On x86 the first CPU cannot be taken offline (arch/x86/kernel/topology.c).
  if (cpu.id > 0 || instance.topology.arch === "aarch64") {
    const online = () => `${Number(instance.isOnline(cpu.id))}\n`;
    tree.file(`${own}/online`, online, 0o644, (text) => switchCpu(instance, cpu.id, text));
  }
  addTopology(tree, instance, cpu, `${own}/topology`);
  addCache(tree, instance, cpu, `${own}/cache`);
}

/** Handles a write to a CPU's online file. */
function switchCpu(instance: Instance, cpu: number, text: string): number {
  const wanted = text.trim();
  if (!/^(0|1|y|n|on|off)$/i.test(wanted)) return E.EINVAL;
  const isPools = instance.poolCpus.includes(cpu);
  if (/^(1|y|on)$/i.test(wanted)) {
    instance.offlineByHand.delete(cpu);
    if (isPools) instance.onlineByHand.add(cpu);
  } else if (isPools) instance.onlineByHand.delete(cpu);
  else if (instance.online.length > 1) instance.offlineByHand.add(cpu);
  else return E.EBUSY; // kernel/cpu.c: the last CPU stays online
  return 0;
}

/** Adds a CPU's topology directory, which does not exist while the CPU is offline. */
function addTopology(tree: Tree, instance: Instance, cpu: Cpu, path: string): void {
  const { cpus } = instance.topology;
  const whileOnline = (text: () => string | number) => () =>
    instance.isOnline(cpu.id) ? `${text()}\n` : null;
  const group = (names: string[], members: () => number[]) => {
    for (const name of names) {
      tree.file(
        `${path}/${name}`,
        whileOnline(() => formatCpuMask(members(), cpus.length)),
      );
      tree.file(
        `${path}/${name}_list`,
        whileOnline(() => formatCpuList(members())),
      );
    }
  };
  group(["thread_siblings", "core_cpus"], () => instance.siblings(cpu.id));
  group(["core_siblings", "package_cpus", "die_cpus"], () =>
    instance.online.filter((id) => cpus[id]?.socket === cpu.socket),
  );
  tree.file(
    `${path}/core_id`,
    whileOnline(() => cpu.coreId),
  );
  tree.file(
    `${path}/physical_package_id`,
    whileOnline(() => cpu.socket),
  );
  tree.file(
    `${path}/die_id`,
    whileOnline(() => (instance.topology.arch === "x86_64" ? 0 : -1)),
  );
}

/** Adds the caches: each core has two levels, a socket shares the third. */
function addCache(tree: Tree, instance: Instance, cpu: Cpu, path: string): void {
  const whileOnline = (text: () => string | number) => () =>
    instance.isOnline(cpu.id) ? `${text()}\n` : null;
  const levels: [level: number, type: string, size: string][] = [
    [1, "Data", "48K"],
    [1, "Instruction", "32K"],
    [2, "Unified", "1280K"],
    [3, "Unified", "55296K"],
  ];
  for (const [index, [level, type, size]] of levels.entries()) {
    const own = `${path}/index${index}`;
    const sharers = (): number[] =>
      level < 3
        ? instance.siblings(cpu.id)
        : instance.online.filter((id) => instance.topology.cpus[id]?.socket === cpu.socket);
    tree.file(
      `${own}/level`,
      whileOnline(() => level),
    );
    tree.file(
      `${own}/type`,
      whileOnline(() => type),
    );
    tree.file(
      `${own}/size`,
      whileOnline(() => size),
    );
    tree.file(
      `${own}/shared_cpu_list`,
      whileOnline(() => formatCpuList(sharers())),
    );
  }
}
