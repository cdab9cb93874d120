/** The driver's files: the device, modules and their parameters, the PCI device, the list of miscellaneous devices. */
import { usualKernel } from "../topology/host.ts";
import type { Instance } from "../topology/instance.ts";
import type { Tree } from "./tree.ts";

/** The device's path. */
export const DEVICE_PATH = "/dev/nitro_enclaves";
/** The device that reports the parent's own CID. */
export const VSOCK_PATH = "/dev/vsock";
/** The parameter with the CPU pool. */
export const POOL_PATH = "/sys/module/nitro_enclaves/parameters/ne_cpus";
/** linux/major.h: miscellaneous devices. */
export const MISC_MAJOR = 10;
/** The device's minor number, which is allocated at boot; any number will do. */
export const DEVICE_MINOR = 124;
const VSOCK_MINOR = 121; // allocated at boot as well

const PCI_BUS = "/sys/bus/pci/devices";
const PCI_ROOT = "/sys/devices/pci0000:00";

/** A PCI function of an instance. */
interface PciFunction {
  slot: string;
  vendor: string;
  device: string;
  class: string;
  driver: () => string | null;
  isThere: () => boolean;
}

/** Adds them. */
export function addDriverFiles(
  tree: Tree,
  instance: Instance,
  writePool: (text: string, pid: number) => number,
): void {
  tree.add(DEVICE_PATH, {
    kind: "device",
    exists: () => instance.hasDevice,
    owner: () => ({ mode: instance.deviceMode, uid: instance.deviceUid, gid: instance.deviceGid }),
    number: [MISC_MAJOR, DEVICE_MINOR],
  });
  tree.add(VSOCK_PATH, {
    kind: "device",
    exists: () => instance.hasVsock,
    owner: () => ({ mode: 0o666, uid: 0, gid: 0 }),
    number: [MISC_MAJOR, VSOCK_MINOR],
  });
  tree.file("/proc/misc", () => {
    const rows = instance.hasDevice ? [`${DEVICE_MINOR} nitro_enclaves`] : [];
    if (instance.hasVsock) rows.push(`${VSOCK_MINOR} vsock`);
    return [...rows, "231 snapshot", "236 device-mapper", "227 mcelog", "1 psaux"]
      .map((row) => `${row.replace(/^\d+/, (minor) => minor.padStart(3))}\n`)
      .join("");
  });
  addModules(tree, instance);
  addModuleLists(tree, instance);
  const whileLoaded = (text: () => string) => () => (instance.modules.has("nitro_enclaves") ? text() : null);
  tree.file(
    POOL_PATH,
    whileLoaded(() => `${instance.poolText}\n`),
    0o644,
    (text, { pid }) => writePool(text, pid),
  );
  addPci(tree, instance);
}

function addModules(tree: Tree, instance: Instance): void {
  const { modules } = instance;
  tree.hide("/sys/module");
  tree.file("/proc/modules", () =>
    modules.all
      .filter(([, state]) => state === "loaded")
      .map(([name]) => {
        const by = modules.holders(name);
        return `${name} 49152 ${by.length} ${by.length === 0 ? "-" : `${by.join(",")},`} Live 0x0000000000000000\n`;
      })
      .join(""),
  );
  tree.file("/sys/module/kernel/parameters/panic", () => "0\n", 0o644);
  for (const [name] of modules.all) {
    const whileThere = (text: () => string) => () => (instance.modules.has(name) ? text() : null);
    const whileLoaded = (text: () => string) => () => (modules.state(name) === "loaded" ? text() : null);
    tree.file(
      `/sys/module/${name}/uevent`,
      whileThere(() => ""),
      0o200,
    );
    tree.file(
      `/sys/module/${name}/initstate`,
      whileLoaded(() => "live\n"),
    );
    tree.file(
      `/sys/module/${name}/refcnt`,
      whileLoaded(() => `${modules.holders(name).length}\n`),
    );
    tree.file(
      `/sys/module/${name}/coresize`,
      whileLoaded(() => "49152\n"),
    );
  }
}

/** Adds the lists that modprobe(8) reads: loadable and built-in modules. */
function addModuleLists(tree: Tree, instance: Instance): void {
  const { modules, scenario } = instance;
  const path = (name: string): string =>
    `kernel/${name === "nitro_enclaves" ? "drivers/virt/nitro_enclaves" : "net/vmw_vsock"}/${name}.ko`;
  // For the present kernel, and for the one that an update would install.
  const releases = [scenario.host.kernel, usualKernel(instance.topology.arch)];
  const roots = ["/lib/modules", "/usr/lib/modules"];
  for (const own of roots.flatMap((root) => releases.map((release) => `${root}/${release}`))) {
    tree.hide(own);
    const list = (wanted: readonly string[], end: string) => () =>
      modules.all
        .filter(([, state]) => wanted.includes(state))
        .map(([name]) => `${path(name)}${end}\n`)
        .join("");
    tree.file(`${own}/modules.dep`, list(["loaded", "unloaded"], ".xz:"), 0o644);
    tree.file(`${own}/modules.builtin`, list(["builtin"], ""), 0o644);
  }
}

function addPci(tree: Tree, instance: Instance): void {
  const always = () => true;
  const enclaves = () => (instance.modules.has("nitro_enclaves") ? "nitro_enclaves" : null);
  const functions: PciFunction[] = [
    {
      slot: "0000:00:00.0",
      vendor: "0x8086",
      device: "0x1237",
      class: "0x060000",
      driver: () => null,
      isThere: always,
    },
    {
      slot: "0000:00:04.0",
      vendor: "0x1d0f",
      device: "0x8061",
      class: "0x010802",
      driver: () => "nvme",
      isThere: always,
    },
    {
      slot: "0000:00:05.0",
      vendor: "0x1d0f",
      device: "0xec20",
      class: "0x020000",
      driver: () => "ena",
      isThere: always,
    },
    {
      ...{ slot: "0000:00:02.0", vendor: "0x1d0f", device: "0xe4c1", class: "0x088000" },
      ...{ driver: enclaves, isThere: () => instance.enclaveOption },
    },
  ];
  tree.hide("/sys/bus/pci");
  tree.hide(PCI_ROOT);
  for (const { slot, vendor, device, class: kind, driver, isThere } of functions) {
    const own = `${PCI_ROOT}/${slot}`;
    const text = (value: string) => () => (isThere() ? `${value}\n` : null);
    tree.link(`${PCI_BUS}/${slot}`, () => (isThere() ? `../../../devices/pci0000:00/${slot}` : null));
    tree.file(`${own}/vendor`, text(vendor));
    tree.file(`${own}/device`, text(device));
    tree.file(`${own}/class`, text(kind));
    tree.file(`${own}/enable`, text("1"), 0o644);
    tree.file(`${own}/numa_node`, text(instance.topology.nodes > 1 ? "0" : "-1"), 0o644);
    const modalias = `pci:v0000${vendor.slice(2).toUpperCase()}d0000${device.slice(2).toUpperCase()}`;
    tree.file(
      `${own}/modalias`,
      text(`${modalias}sv00000000sd00000000bc${kind.slice(2, 4)}sc${kind.slice(4, 6)}i00`),
    );
    const bound = (): string | null => (isThere() ? driver() : null);
    tree.link(`${own}/driver`, () => (bound() === null ? null : `../../../bus/pci/drivers/${bound()}`));
    const name = driver();
    if (name !== null || driver === enclaves) {
      const drivers = `/sys/bus/pci/drivers/${name ?? "nitro_enclaves"}`;
      tree.link(`${drivers}/${slot}`, () =>
        bound() === null ? null : `../../../../devices/pci0000:00/${slot}`,
      );
      tree.file(`${drivers}/uevent`, () => (driver() === null ? null : ""), 0o200);
    }
  }
}
