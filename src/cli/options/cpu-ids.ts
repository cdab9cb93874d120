/**
 * CPUs that are picked by hand: -accel nitro,cpu-ids=2-3,,6. As with QEMU's host-nodes, the key may stand more than
 * once and a comma within a value is doubled.
 */
import type { LaunchOptions, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { type Occurrence, typedText } from "../argv.ts";
import { pairText } from "../keyval.ts";
import { takeAccelPairs } from "./accel-pairs.ts";
import { keyvalsOf } from "./launch-options.ts";
import { check, field, Refused, refuseUnless } from "./schemas.ts";

/** More than any kernel has (CONFIG_NR_CPUS). */
const MOST_CPUS = 8192;

/** The ids in the order in which they stand there, which is that of the enclave's vCPUs. */
function cpuList(text: string): number[] {
  const cpus = new Set<number>();
  for (const range of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range);
    if (match === null) throw new Refused("Parameter 'cpu-ids' expects CPUs, such as 2-3 or 2-3,,6-7");
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    refuseUnless(first <= last && last < MOST_CPUS, `Parameter 'cpu-ids' has no CPUs ${range}`);
    refuseUnless(first > 0, "cpu-ids: CPU 0 stays with the parent; no enclave can have it");
    for (let cpu = first; cpu <= last; cpu++) {
      refuseUnless(!cpus.has(cpu), `cpu-ids names CPU ${cpu} twice`);
      cpus.add(cpu);
    }
  }
  return [...cpus];
}

/** Takes cpu-ids= out of -accel. Throws UserError. */
export function cpuOptions(occurrences: readonly Occurrence[]): {
  rest: Occurrence[];
  cpuIds: LaunchOptions["cpuIds"];
} {
  const { rest, own } = takeAccelPairs(occurrences, (key) => key === "cpu-ids");
  const [first] = own;
  if (first === undefined) return { rest, cpuIds: undefined };
  const values = own.flatMap((each) => keyvalsOf(each, "accel").pairs.map(([, value]) => value));
  const checked = check(field(cpuList), values.join(","));
  const typed = typedText(first);
  if ("complaint" in checked) throw new UserError(typed, checked.complaint.message);
  const text = values.map((value) => pairText("cpu-ids", value)).join(",");
  return { rest, cpuIds: { value: checked.value, typed: `-accel nitro,${text}` } };
}

/** Throws UserError where -smp says another number of CPUs. */
export function checkCount(cpuIds: LaunchOptions["cpuIds"], vcpus: Typed<number> | undefined): void {
  if (cpuIds === undefined || vcpus === undefined || vcpus.value === cpuIds.value.length) return;
  const { length } = cpuIds.value;
  throw new UserError(
    vcpus.typed,
    `${cpuIds.typed} picks ${length} CPU${length === 1 ? "" : "s"}`,
    `use -smp ${length}, or leave it out`,
  );
}
