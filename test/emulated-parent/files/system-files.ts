/** Files that describe the system: firmware, kernel, processors, memory, groups. */
import type { NodeMemory } from "../memory/node-memory.ts";
import type { Instance } from "../topology/instance.ts";
import type { Tree } from "./tree.ts";

const KIB = 1024;

/** The text that a build of this kernel has in /proc/version and in uname(2)'s version. */
export const KERNEL_BUILD = "#1 SMP PREEMPT_DYNAMIC Tue Jun 17 21:55:11 UTC 2025";

/** Adds them. */
export function addSystemFiles(tree: Tree, instance: Instance): void {
  addFirmware(tree, instance);
  tree.file("/proc/sys/kernel/osrelease", () => `${instance.kernel}\n`);
  tree.file(
    "/proc/version",
    () => `Linux version ${instance.kernel} (mockbuild@amazon) (gcc) ${KERNEL_BUILD}\n`,
  );
  tree.file("/proc/cpuinfo", () => cpuinfo(instance));
  tree.file("/proc/meminfo", () => meminfo(instance.memory, instance.topology.nodes));
  tree.file("/proc/buddyinfo", () => buddyinfo(instance));
  tree.file("/etc/group", () => instance.groups.text, 0o644);
}

/** /sys/class/dmi/id (drivers/firmware/dmi-id.c); only root can read the serial numbers. */
function addFirmware(tree: Tree, instance: Instance): void {
  const id = "/sys/devices/virtual/dmi/id";
  tree.hide("/sys/class/dmi");
  tree.hide("/sys/devices/virtual/dmi");
  tree.hide("/sys/hypervisor");
  tree.link("/sys/class/dmi/id", () => "../../devices/virtual/dmi/id");
  const { instance: product } = instance.topology;
  const fields: Readonly<Record<string, string>> = {
    sys_vendor: "Amazon EC2",
    product_name: product,
    board_vendor: "Amazon EC2",
    board_asset_tag: "i-0123456789abcdef0",
    chassis_vendor: "Amazon EC2",
    chassis_asset_tag: "Amazon EC2",
    bios_vendor: "Amazon EC2",
    bios_version: "1.0",
    bios_date: "10/16/2017",
  };
  for (const [name, text] of Object.entries(fields)) tree.file(`${id}/${name}`, () => `${text}\n`);
  const serial = "ec212345-6789-abcd-ef01-23456789abcd";
  for (const name of ["product_uuid", "product_serial"])
    tree.file(`${id}/${name}`, () => `${serial}\n`, 0o400);
  // A Nitro instance shows its hypervisor in PCI and firmware only: Xen's directory does not exist.
}

function cpuinfo(instance: Instance): string {
  const { topology, online } = instance;
  const rows = (entries: [string, string | number][]): string =>
    entries.map(([name, value]) => `${name.padEnd(15)}\t: ${value}\n`).join("");
  const texts = online.map((id) => {
    const cpu = topology.cpus[id];
    if (topology.arch === "aarch64") {
      return rows([
        ["processor", id],
        ["BogoMIPS", "243.75"],
        [
          "Features",
          "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop",
        ],
        ["CPU implementer", "0x41"],
        ["CPU architecture", 8],
        ["CPU variant", "0x3"],
        ["CPU part", topology.processor === "Neoverse-V1" ? "0xd40" : "0xd0c"],
        ["CPU revision", 1],
      ]);
    }
    const socketCpus = online.filter((other) => topology.cpus[other]?.socket === cpu?.socket);
    return rows([
      ["processor", id],
      ["vendor_id", "GenuineIntel"],
      ["cpu family", 6],
      ["model", 106],
      ["model name", topology.processor],
      ["physical id", cpu?.socket ?? 0],
      ["siblings", socketCpus.length],
      ["core id", cpu?.coreId ?? 0],
      ["cpu cores", new Set(socketCpus.map((other) => topology.cpus[other]?.core)).size],
      [
        "flags",
        "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 ht syscall nx pdpe1gb rdtscp lm",
      ],
    ]);
  });
  return texts.map((text) => `${text}\n`).join("");
}

/** Returns /proc/meminfo (fs/proc/meminfo.c): the huge pages of the default size have their own rows. */
function meminfo(memory: NodeMemory, nodes: number): string {
  memory.refresh();
  const sums = { total: 0, free: 0, cached: 0 };
  for (let node = 0; node < nodes; node++) {
    const { total, free, cached } = memory.figures(node);
    sums.total += total;
    sums.free += free;
    sums.cached += cached;
  }
  const row = (name: string, bytes: number): string =>
    `${`${name}:`.padEnd(15)} ${String(Math.floor(bytes / KIB)).padStart(8)} kB\n`;
  const count = (name: string, pages: number): string =>
    `${`${name}:`.padEnd(15)} ${String(pages).padStart(7)}\n`;
  const pool = memory.defaultPool;
  const pages = pool?.sums ?? { total: 0, free: 0, surplus: 0, reserved: 0 };
  let hugetlb = 0;
  for (const { pageBytes, sums: all } of memory.pools.values()) hugetlb += pageBytes * all.total;
  return [
    row("MemTotal", sums.total),
    row("MemFree", sums.free),
    row("MemAvailable", sums.free + sums.cached),
    row("Buffers", 0),
    row("Cached", sums.cached),
    row("SwapCached", 0),
    row("Active(file)", 0),
    row("Inactive(file)", sums.cached),
    row("SwapTotal", 0),
    row("SwapFree", 0),
    row("AnonHugePages", 0),
    row("ShmemHugePages", 0),
    count("HugePages_Total", pages.total),
    count("HugePages_Free", pages.free),
    count("HugePages_Rsvd", pages.reserved),
    count("HugePages_Surp", pages.surplus),
    row("Hugepagesize", pool?.pageBytes ?? 0),
    row("Hugetlb", hugetlb),
  ].join("");
}

/**
 * Returns free memory by order (mm/vmstat.c): what could become 2 MiB pages is in blocks of order 9 and 10, the rest in
 * smaller ones.
 */
function buddyinfo(instance: Instance): string {
  const { memory, topology } = instance;
  const rows: string[] = [];
  for (let node = 0; node < topology.nodes; node++) {
    const whole = memory.obtainableOf(node, 2 * 1024 * KIB);
    const pieces = Math.floor((memory.figures(node).free - whole * 2 * 1024 * KIB) / (64 * KIB));
    const counts = [0, 0, 0, 0, Math.max(0, pieces), 0, 0, 0, 0, whole % 2, Math.floor(whole / 2)];
    const columns = counts.map((count) => `${String(count).padStart(6)} `).join("");
    rows.push(`Node ${node}, zone ${"Normal".padStart(8)} ${columns}\n`);
  }
  return rows.join("");
}
