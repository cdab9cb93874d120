/** -cpu and -smp: the enclave's vCPUs. */
import type { LaunchOptions, Typed } from "../../launch/options.ts";
import { UserError } from "../../sys/errors.ts";
import { parseUint64 } from "../numbers.ts";
import type { PropertyValues } from "./option.ts";
import type { ParsedOptions } from "./parsed-options.ts";
import { only, parsedText, rule } from "./values.ts";

/** -cpu */
export const CPU = {
  name: "cpu",
  argument: "host",
  help: "the CPU model; an enclave's is the host's",
  default: "host",
  schema: () => only("host", "an enclave's CPUs are the host's own: use -cpu host, or leave it out"),
  listing: () => "Available CPUs:\n  host\n",
} as const;

/** A level of QEMU's topology that an enclave has one of. */
function onlyOne(level: string) {
  return { schema: () => only("1", `an enclave's CPUs have no ${level}: leave it out`) };
}

/** More than any machine has. */
const MAX_CPUS = 4096n;

function count() {
  return parsedText(parseUint64, "a whole number, such as 2", { type: "uint64", form: "N" }).check(
    rule<bigint>(
      (value) => value > 0n,
      "Invalid CPU topology: CPU topology parameters must be greater than zero",
    ),
    rule<bigint>((value) => value <= MAX_CPUS, `must be at most ${MAX_CPUS}`),
  );
}

const PROPERTIES = {
  cpus: { schema: count, help: "the number of vCPUs" },
  sockets: { schema: count, help: "sockets; a level that is left out follows from the others" },
  cores: { schema: count, help: "cores of a socket" },
  threads: { schema: count, help: "threads of a core" },
  maxcpus: { schema: count, help: "must be cpus: no vCPU can be added later" },
  dies: onlyOne("dies"),
  clusters: onlyOne("clusters"),
  modules: onlyOne("modules"),
  books: onlyOne("books"),
  drawers: onlyOne("drawers"),
} as const;

/** -smp */
export const SMP = {
  name: "smp",
  argument: "[cpus=]N[,sockets=N][,cores=N][,threads=N]",
  help: "vCPUs, whole cores",
  default: "one core",
  repeats: "merge",
  properties: PROPERTIES,
  syntax: { implied: "cpus", type: "smp" },
  group: { name: "smp-opts" },
} as const;

/** Reads -cpu and -smp. @param cpuIds the CPUs that -accel selects. Throws UserError. */
export function cpuOptions(
  parsed: ParsedOptions,
  cpuIds: Typed<readonly number[]> | undefined,
): Pick<LaunchOptions, "vcpus"> {
  parsed.value(CPU);
  const typed = parsed.typed(SMP);
  if (typed === undefined) return { vcpus: undefined };
  const vcpus = { value: vcpuCount(parsed.properties(SMP), typed), typed };
  if (cpuIds !== undefined && vcpus.value !== cpuIds.value.length) {
    const { length } = cpuIds.value;
    throw new UserError(
      typed,
      `${cpuIds.typed} selects ${length} CPU${length === 1 ? "" : "s"}`,
      `use -smp ${length}, or leave it out`,
    );
  }
  return { vcpus };
}

function vcpuCount(
  { cpus, sockets, cores, threads, maxcpus }: Partial<PropertyValues<typeof PROPERTIES>>,
  typed: string,
): number {
  const levels = [sockets, cores, threads].filter((level) => level !== undefined);
  const product = levels.length === 0 ? undefined : levels.reduce((all, level) => all * level, 1n);
  const count = cpus ?? product;
  if (count === undefined) throw new UserError(typed, "the number of CPUs is missing", "use -smp 2");
  // A level that is not given follows from the others, if whole numbers allow it.
  if (product !== undefined && (levels.length === 3 ? product !== count : count % product !== 0n)) {
    throw new UserError(
      typed,
      `Invalid CPU topology: sockets × cores × threads is ${product}, cpus is ${count}`,
    );
  }
  if (maxcpus !== undefined && maxcpus !== count) {
    throw new UserError(
      typed,
      "an enclave's CPUs cannot be added later: maxcpus must equal cpus",
      `use -smp ${count}`,
    );
  }
  return Number(count);
}
