/** Limits of this process (getrlimit(2)) that a launch can meet, as /proc/self/limits tells them. */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import type { Problem } from "../problem.ts";
import { hasCapability } from "./capabilities.ts";

/** A soft and a hard limit; infinite for none. */
interface Limit {
  readonly soft: number;
  readonly hard: number;
}

function limitOf(system: System, name: string): Limit | undefined {
  const text = readSmallFile(system, "/proc/self/limits") ?? "";
  const [, soft, hard] = new RegExp(`^${name}\\s+(\\d+|unlimited)\\s+(\\d+|unlimited)`, "m").exec(text) ?? [];
  if (soft === undefined || hard === undefined) return undefined;
  const value = (word: string) => (word === "unlimited" ? Number.POSITIVE_INFINITY : Number(word));
  return { soft: value(soft), hard: value(hard) };
}

/** Files that a launch may have open, its runtime's included: more than twice the 13 that have been seen. */
const MOST_OPEN_FILES = 32;
const USUAL_OPEN_FILES = 1024;

/**
 * Why a launch may run out of files; undefined where it does not. The runtime raises the soft limit to the hard one by
 * itself. @param more files beside those that every launch has.
 */
export function openFilesProblem(system: System, more = 0): Problem | undefined {
  const limit = limitOf(system, "Max open files");
  const needed = MOST_OPEN_FILES + more;
  if (limit === undefined || limit.soft >= needed) return undefined;
  const why = `the limit of open files is ${limit.soft}, too low for a launch to be sure of its own`;
  return raised(system, why, "-n", Math.max(needed, USUAL_OPEN_FILES), limit, "LimitNOFILE");
}

/** Why files may not be as large as the enclave's memory; undefined where they may. @param bytes of one page size. */
export function fileSizeProblem(system: System, bytes: number): Problem | undefined {
  const limit = limitOf(system, "Max file size");
  if (limit === undefined || limit.soft >= bytes) return undefined;
  const size = `${Math.floor(limit.soft / 2 ** 20)}M`;
  return raised(
    system,
    `the limit of a file's size is ${size}, and the enclave's memory, a file of huge pages, has ${bytes / 2 ** 20}M`,
    "-f",
    "unlimited",
    limit,
    "LimitFSIZE",
  );
}

function raised(
  system: System,
  why: string,
  flag: string,
  wanted: number | "unlimited",
  { hard }: Limit,
  setting: string,
): Problem {
  const mayRaise =
    hasCapability(system, "CAP_SYS_RESOURCE") ||
    hard >= (wanted === "unlimited" ? Number.POSITIVE_INFINITY : wanted);
  const unit = `for a service: ${setting}=${wanted === "unlimited" ? "infinity" : wanted}`;
  if (mayRaise) return { why, command: `ulimit ${flag} ${wanted}`, advice: unit };
  return { why, advice: `the hard limit is too low as well: /etc/security/limits.conf raises it; ${unit}` };
}
