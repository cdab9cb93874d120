/**
 * A write to the driver's ne_cpus (ne_set_kernel_param and ne_setup_cpu_pool in
 * drivers/virt/nitro_enclaves/ne_misc_dev.c).
 */
import { CAP_SYS_ADMIN, hasCapability } from "../files/permission.ts";
import { E } from "../sys/errno.ts";
import type { Instance } from "../topology/instance.ts";
import { readCpuList } from "./cpu-list.ts";

const longest = 511; // NE_CPUS_SIZE of 512 with the NUL at the end

/**
 * Sets a new pool; returns 0 or the errno. A value that is refused after the first two checks empties the present pool.
 */
export function writePool(instance: Instance, text: string, pid: number, hasEnclaves: boolean): number {
  if (!hasCapability(pid, CAP_SYS_ADMIN)) return E.EPERM;
  if (hasEnclaves) return E.EPERM;
  instance.setPool("", []);
  const cpus = readCpuList(text, instance.topology.cpus.length);
  if (typeof cpus === "number") return -cpus;
  if (!isWholeAndOnOneNode(instance, cpus)) return E.EINVAL;
  if (cpus.some((cpu) => instance.scenario.host.busyCpus.includes(cpu))) return E.EBUSY;
  if (text.length > longest) return E.ENOSPC;
  instance.setPool(text, cpus);
  return 0;
}

function isWholeAndOnOneNode(instance: Instance, cpus: readonly number[]): boolean {
  if (cpus.length === 0 || cpus.some((cpu) => !instance.isOnline(cpu))) return false;
  const nodes = new Set(cpus.map((cpu) => instance.topology.cpus[cpu]?.node));
  if (nodes.size !== 1) return false;
  // CPU 0 and its siblings stay with the parent.
  if (cpus.includes(0) || instance.siblings(0).some((cpu) => cpus.includes(cpu))) return false;
  return cpus.every((cpu) => instance.siblings(cpu).every((sibling) => cpus.includes(sibling)));
}
