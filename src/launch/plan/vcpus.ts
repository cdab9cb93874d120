/** The number of vCPUs. */
import { UserError } from "../../sys/errors.ts";
import type { Typed } from "../options.ts";

/** The vCPUs: their number, and the option as it was typed. */
export interface Vcpus extends Typed<number> {
  /** The parent's CPUs, if the user selected them. */
  readonly ids?: readonly number[];
}

/** Plans the vCPUs by -smp, or one whole core. Throws UserError for a part of a core. */
export function planVcpus(asked: Typed<number> | undefined, threadsPerCore: number): Vcpus {
  if (asked === undefined) return { value: threadsPerCore, typed: `-smp ${threadsPerCore} (the default)` };
  const over = asked.value % threadsPerCore;
  if (over !== 0) {
    const below = asked.value - over;
    const above = below + threadsPerCore;
    throw new UserError(
      asked.typed,
      `an enclave takes whole cores, which have ${threadsPerCore} threads on this machine`,
      `use ${below === 0 ? "" : `-smp ${below} or `}-smp ${above}`,
      { options: ["-smp", String(above)] },
    );
  }
  return asked;
}
