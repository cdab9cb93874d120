/** The capabilities of this process (capabilities(7)). */
import type { System } from "../../sys/system.ts";
import { selfStatusField } from "./self-status.ts";

/** Bit numbers from include/uapi/linux/capability.h. */
const CAPABILITIES = { CAP_SYS_ADMIN: 21n, CAP_SYS_RESOURCE: 24n } as const;

/** Returns whether a capability is in effect; true if that cannot be read. */
export function hasCapability(system: System, name: keyof typeof CAPABILITIES): boolean {
  const effective = selfStatusField(system, "CapEff");
  if (effective === undefined || !/^[0-9a-f]+$/.test(effective)) return true;
  return ((BigInt(`0x${effective}`) >> CAPABILITIES[name]) & 1n) === 1n;
}
