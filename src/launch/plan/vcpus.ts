/** The number of vCPUs. */
import { UserError } from "../../sys/errors.ts";
import type { Typed } from "../options.ts";

/** The vCPUs: their number, and the option as it was typed. */
export interface Vcpus extends Typed<number> {
  /** The parent's CPUs, if the user selected them. */
  readonly ids?: readonly number[];
}

/** Plans the vCPUs by -smp, or one whole core. Throws UserError for a part of a core. */
export function planVcpus(requested: Typed<number> | undefined, threadsPerCore: number): Vcpus {
  if (requested === undefined)
    return { value: threadsPerCore, typed: `-smp ${threadsPerCore} (the default)` };
  const excess = requested.value % threadsPerCore;
  if (excess !== 0) {
    const below = requested.value - excess;
    const above = below + threadsPerCore;
    throw new UserError(
      requested.typed,
      `an enclave needs whole cores, which have ${threadsPerCore} threads on this instance`,
      `use ${below === 0 ? "" : `-smp ${below} or `}-smp ${above}`,
      { options: ["-smp", String(above)] },
    );
  }
  return requested;
}
