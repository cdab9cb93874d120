/** Resource limits of this process (getrlimit(2)) that can stop a launch, from /proc/self/limits. */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { sizeWithUnit } from "../../sys/units.ts";
import type { Problem } from "../problem.ts";
import { hasCapability } from "./capabilities.ts";

/** Infinity stands for "unlimited". */
interface Limit {
  readonly soft: number;
  readonly hard: number;
}

function readLimit(system: System, name: string): Limit | undefined {
  const text = readSmallFile(system, "/proc/self/limits") ?? "";
  const [, soft, hard] = new RegExp(`^${name}\\s+(\\d+|unlimited)\\s+(\\d+|unlimited)`, "m").exec(text) ?? [];
  if (soft === undefined || hard === undefined) return undefined;
  const value = (field: string) => (field === "unlimited" ? Number.POSITIVE_INFINITY : Number(field));
  return { soft: value(soft), hard: value(hard) };
}

/** File descriptors for a launch, including its runtime's: more than twice the 13 measured. */
const LAUNCH_DESCRIPTORS = 32;
/** The usual default of a distribution. */
const USUAL_DESCRIPTORS = 1024;

/**
 * Returns the problem of a launch that may run out of file descriptors; undefined if it cannot. The runtime raises the
 * soft limit to the hard limit by itself. @param more descriptors in addition to those of every launch.
 */
export function openFilesProblem(system: System, more = 0): Problem | undefined {
  const limit = readLimit(system, "Max open files");
  const needed = LAUNCH_DESCRIPTORS + more;
  if (limit === undefined || limit.soft >= needed) return undefined;
  const why = `the limit of open files is ${limit.soft}, too low for a launch`;
  const value = Math.max(needed, USUAL_DESCRIPTORS);
  return raiseLimit(system, limit, { why, flag: "-n", value, setting: "LimitNOFILE" });
}

/** Returns the problem of a file size limit below the enclave's memory. @param bytes the memory of one page size. */
export function fileSizeProblem(system: System, bytes: number): Problem | undefined {
  const limit = readLimit(system, "Max file size");
  if (limit === undefined || limit.soft >= bytes) return undefined;
  const why =
    `the file size limit is ${sizeWithUnit(limit.soft)}, but the enclave's memory, ` +
    `a file of huge pages, has ${sizeWithUnit(bytes)}`;
  return raiseLimit(system, limit, {
    why,
    flag: "-f",
    value: Number.POSITIVE_INFINITY,
    setting: "LimitFSIZE",
  });
}

interface Raise {
  readonly why: string;
  /** ulimit's option. */
  readonly flag: string;
  /** Infinity stands for "unlimited". */
  readonly value: number;
  /** The directive of a systemd unit. */
  readonly setting: string;
}

function raiseLimit(system: System, { hard }: Limit, { why, flag, value, setting }: Raise): Problem {
  const unlimited = value === Number.POSITIVE_INFINITY;
  const inUnit = `in a systemd unit: ${setting}=${unlimited ? "infinity" : value}`;
  if (hard >= value || hasCapability(system, "CAP_SYS_RESOURCE"))
    return { why, command: `ulimit ${flag} ${unlimited ? "unlimited" : value}`, advice: inUnit };
  return {
    why,
    advice: `the hard limit is too low as well: raise it in /etc/security/limits.conf; ${inUnit}`,
  };
}
