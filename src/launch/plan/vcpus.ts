/** What `-M nitro` is made of besides its memory: how many vCPUs an enclave gets, and what is refused. */
import { UserError } from "../../sys/errors.ts";
import type { Typed } from "../options.ts";

/** An enclave's vCPUs: how many, in the user's words. */
export interface Vcpus extends Typed<number> {
  /** Which CPUs of the parent they are, where they are picked by hand. */
  readonly ids?: readonly number[];
}

/** Decides on the vCPUs, by -smp or one full core. Throws UserError for part of a core. */
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
