/** What this process may do beyond a user's rights (capabilities(7)), by proc_pid_status(5). */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";

/** include/uapi/linux/capability.h: bits of the set. */
const CAPABILITIES = { CAP_SYS_ADMIN: 21n, CAP_SYS_RESOURCE: 24n } as const;

/** Whether a capability is in effect; so it is held where nothing tells. */
export function hasCapability(system: System, name: keyof typeof CAPABILITIES): boolean {
  const status = readSmallFile(system, "/proc/self/status") ?? "";
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return effective === undefined || ((BigInt(`0x${effective}`) >> CAPABILITIES[name]) & 1n) === 1n;
}
