/**
 * CPUs that the user selected (cpu-ids=), checked before the enclave is created, because nothing that was added to an
 * enclave can be removed. Only the driver knows which cores other enclaves use.
 */
import { cpuListText } from "../../host/cpu/cpu-list.ts";
import { cpuPool, poolCpus, siblingsOfCpu0 } from "../../host/cpu/cpus.ts";
import { poolShapeOf, readTopology, type Topology } from "../../host/cpu/topology.ts";
import { UserError } from "../../sys/errors.ts";
import type { System } from "../../sys/system.ts";
import type { Typed } from "../options.ts";
import type { Vcpus } from "./vcpus.ts";

/** Formats CPUs as a value of cpu-ids=, with doubled commas. */
function idsText(cpus: readonly number[]): string {
  return `cpu-ids=${cpuListText(cpus).replaceAll(",", ",,")}`;
}

function cpuText(cpus: readonly number[]): string {
  return `CPU${cpus.length === 1 ? "" : "s"} ${cpuListText(cpus)}`;
}

/** Plans the selected vCPUs. Throws UserError for CPUs that the driver would refuse. */
export function pickCpus(system: System, { value: ids, typed }: Typed<readonly number[]>): Vcpus {
  const topology = readTopology(system);
  const known = topology.present.length > 0;
  const { absent, hasCore0, missing } = poolShapeOf(topology, ids);
  const inPool = poolCpus(system);
  const hint = hintOf(topology, inPool);
  if (known && absent.length > 0) {
    const all = `its CPUs are ${cpuListText(topology.present)}`;
    throw new UserError(typed, `this machine has no ${cpuText(absent)}; ${all}`, hint);
  }
  if (hasCore0) {
    const core = cpuText(siblingsOfCpu0(system));
    throw new UserError(typed, `CPU 0's core (${core}) stays with the parent; no enclave can have it`, hint);
  }
  // An unreadable pool means that there is no driver; opening the device reports it.
  const pool = cpuPool(system);
  const outside = pool === undefined ? [] : ids.filter((cpu) => !inPool.includes(cpu));
  if (outside.length > 0) {
    const command = `nitro pool --cpu-list ${cpuListText([...inPool, ...ids, ...missing])}`;
    throw new UserError(
      typed,
      `${cpuText(outside)} ${outside.length === 1 ? "is" : "are"} not in the CPU pool, which is ` +
        (pool === "" ? "empty" : pool),
      `${hint === undefined ? "" : `${hint}, or `}while no enclave runs: ${command}`,
      { command },
    );
  }
  if (missing.length > 0) {
    throw new UserError(
      typed,
      `an enclave needs whole cores, and ${cpuText(missing)} ${missing.length === 1 ? "is" : "are"} missing`,
      `use ${idsText([...ids, ...missing])}`,
    );
  }
  return { value: ids.length, typed, ids };
}

/** Lists the whole cores of the pool. */
function hintOf(topology: Topology, pool: readonly number[]): string | undefined {
  const whole = poolShapeOf(topology, pool).cores.flatMap(({ cpus }) => cpus);
  return whole.length === 0 ? undefined : `the whole cores of the pool are ${idsText(whole)}`;
}
