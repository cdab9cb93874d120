/** Who has locked a file, by /proc/locks (proc(5)): no lock is tried. */
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { asRoot, type Problem } from "../problem.ts";

const MOST_TEXT_BYTES = 256 * 1024;

/** The process that has a lock of flock(2) on a file; undefined where none is seen. */
function lockHolder(system: System, path: string): number | undefined {
  const status = fileStatus(system, path);
  if (status === undefined) return undefined;
  const hex = (number: number) => number.toString(16).padStart(2, "0");
  const place = `${status.device.map(hex).join(":")}:${status.inode}`;
  const locks = readLimited(system, "/proc/locks", MOST_TEXT_BYTES) ?? "";
  for (const [, pid, where] of locks.matchAll(/^\d+: FLOCK +ADVISORY +WRITE (\d+) (\S+) /gm)) {
    if (where === place) return Number(pid);
  }
  return undefined;
}

/** Why a file cannot be locked, as a pid file is; undefined where nobody is seen to hold it. */
export function lockProblem(system: System, path: string): Problem | undefined {
  const holder = lockHolder(system, path);
  if (holder === undefined) return undefined;
  return {
    why: `another launcher that runs holds it (process ${holder})`,
    command: asRoot(`kill ${holder}`),
    advice: "that stops its enclave; or name another file",
  };
}
