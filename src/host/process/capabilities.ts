/** The capabilities of this process (capabilities(7)). */
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE } from "../../sys/linux/capability.ts";
import type { System } from "../../sys/system.ts";
import { selfStatusField } from "./self-status.ts";

const CAPABILITIES = { CAP_SYS_ADMIN, CAP_SYS_RESOURCE } as const;

/** Returns whether a capability is in effect; true if that cannot be read. */
export function hasCapability(system: System, name: keyof typeof CAPABILITIES): boolean {
  const effective = selfStatusField(system, "CapEff");
  if (effective === undefined || !/^[0-9a-f]+$/.test(effective)) return true;
  return ((BigInt(`0x${effective}`) >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}
