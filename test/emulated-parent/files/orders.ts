/**
 * What is done to an instance by other means than its files: programs that stand in for modprobe, rmmod, usermod, groupadd,
 * package managers, reboot and aws write lines to one file, and the parent does what they say. The programs are in the directory `programs`, which
 * comes first in the command's PATH. Reading the file tells the ports of vsock that are bound, and by which process.
 */
import type { Driver } from "../driver/driver.ts";
import { E } from "../sys/errno.ts";
import type { Instance } from "../topology/instance.ts";
import { CAP_SYS_ADMIN, hasCapability } from "./permission.ts";
import type { Caller, Tree } from "./tree.ts";

/** Where orders are written to. */
export const ORDERS_PATH = "/run/parent-instance";

const CAP_SYS_MODULE = 16; // linux/capability.h
const CAP_SYS_BOOT = 22; // linux/capability.h
const DRIVER = "nitro_enclaves";

type Order = (words: readonly string[], caller: Caller) => number;

/** Adds the file. */
export function addOrders(tree: Tree, instance: Instance, driver: Driver): void {
  const orders = new Map<string, Order>([
    ["modprobe", ([name = "", ...parameters], { pid }) => load(instance, driver, name, parameters, pid)],
    ["rmmod", ([name = ""], { pid }) => unload(instance, driver, name, pid)],
    ["groupadd", ([name = "", gid = "991"]) => instance.groups.add(name, Number(gid))],
    ["join", ([name = "", user = ""]) => instance.groups.join(name, user)],
    ["enclave-option", ([word]) => enclaveOption(instance, driver, word === "true")],
    ["free-port", ([port]) => instance.freePort(Number(port))],
    ["install", ([what], { pid }) => install(instance, what, pid)],
    ["reboot", (_, { pid }) => reboot(instance, driver, pid)],
  ]);
  tree.file(
    ORDERS_PATH,
    () => [...instance.listeners].map(([port, pid]) => `vsock ${port} ${pid}\n`).join(""),
    0o666,
    (text, caller) => {
      const [verb = "", ...words] = text.trim().split(/\s+/);
      return orders.get(verb)?.(words, caller) ?? E.EINVAL;
    },
  );
}

function load(
  instance: Instance,
  driver: Driver,
  name: string,
  parameters: readonly string[],
  pid: number,
): number {
  if (!hasCapability(pid, CAP_SYS_MODULE)) return E.EPERM;
  const module = name.replaceAll("-", "_");
  const wasThere = instance.modules.has(module);
  const errno = instance.modules.load(module);
  const pool = parameters.find((parameter) => parameter.startsWith("ne_cpus="))?.slice("ne_cpus=".length);
  if (errno === 0 && module === DRIVER && !wasThere && pool !== undefined) return driver.writePool(pool, pid);
  return errno;
}

function unload(instance: Instance, driver: Driver, name: string, pid: number): number {
  if (!hasCapability(pid, CAP_SYS_MODULE)) return E.EPERM;
  const module = name.replaceAll("-", "_");
  if (module === DRIVER && driver.slotsLeft > 0) return E.EBUSY;
  const errno = instance.modules.unload(module);
  if (errno === 0 && module === DRIVER) instance.setPool("", []); // ne_exit: the pool's CPUs go back online
  return errno;
}

/** Stopping, changing and starting the instance in one: what a running system has is gone, what a boot brings is there. */
function enclaveOption(instance: Instance, driver: Driver, enabled: boolean): number {
  if (driver.slotsLeft > 0) return E.EBUSY;
  instance.enclaveOption = enabled;
  return 0;
}

/** What a distribution's package manager does: `modules` for the kernel that runs, or another `kernel`. */
function install(instance: Instance, what: string | undefined, pid: number): number {
  if (!hasCapability(pid, CAP_SYS_ADMIN)) return E.EPERM;
  if (what === "modules") instance.installModules();
  else if (what === "kernel") instance.installKernel();
  else return E.EINVAL;
  return 0;
}

/** The command lives on; the pool and huge pages stay, as if what runs at boot had made them again. */
function reboot(instance: Instance, driver: Driver, pid: number): number {
  if (!hasCapability(pid, CAP_SYS_BOOT)) return E.EPERM;
  if (driver.slotsLeft > 0) return E.EBUSY;
  instance.reboot();
  return 0;
}
