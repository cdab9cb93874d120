/**
 * Changes to an instance by other means than its files. Stand-ins for modprobe, rmmod, usermod, groupadd, package
 * managers, reboot and aws write lines to one file, and the parent executes them. The programs are in the directory
 * `programs`, which is the first of the command's PATH. Reading the file returns the bound vsock ports with their
 * processes.
 */
import type { Driver } from "../driver/driver.ts";
import { E } from "../sys/errno.ts";
import type { Instance } from "../topology/instance.ts";
import { CAP_SYS_ADMIN, hasCapability } from "./permission.ts";
import type { Caller, Tree } from "./tree.ts";

/** The file that the programs write to. */
export const CONTROL_PATH = "/run/parent-instance";

const CAP_SYS_MODULE = 16; // linux/capability.h
const CAP_SYS_BOOT = 22; // linux/capability.h
const DRIVER = "nitro_enclaves";

type Order = (words: readonly string[], caller: Caller) => number;

/** Adds the file. */
export function addControlFile(tree: Tree, instance: Instance, driver: Driver): void {
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
    CONTROL_PATH,
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

/** Stops the instance, changes its option and starts it: running state is lost, and devices are as after a boot. */
function enclaveOption(instance: Instance, driver: Driver, enabled: boolean): number {
  if (driver.slotsLeft > 0) return E.EBUSY;
  instance.enclaveOption = enabled;
  return 0;
}

/** Installs a distribution's package: `modules` for the running kernel, or another `kernel`. */
function install(instance: Instance, what: string | undefined, pid: number): number {
  if (!hasCapability(pid, CAP_SYS_ADMIN)) return E.EPERM;
  if (what === "modules") instance.installModules();
  else if (what === "kernel") instance.installKernel();
  else return E.EINVAL;
  return 0;
}

/** Reboots. The command keeps running; the pool and the huge pages stay, as if they were configured at boot. */
function reboot(instance: Instance, driver: Driver, pid: number): number {
  if (!hasCapability(pid, CAP_SYS_BOOT)) return E.EPERM;
  if (driver.slotsLeft > 0) return E.EBUSY;
  instance.reboot();
  return 0;
}
