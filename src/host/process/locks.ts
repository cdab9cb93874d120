/** Which process has locked a file, from /proc/locks (proc_locks(5)), without trying to lock it. */
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import type { Problem } from "../problem.ts";
import { launcherOf, launcherText } from "./launchers.ts";
import { commandLine } from "./processes.ts";

/** Returns the process that holds a flock(2) lock on a file; undefined if none is found. */
function lockHolder(system: System, path: string): number | undefined {
  const status = fileStatus(system, path);
  if (status === undefined) return undefined;
  const hex = (number: number) => number.toString(16).padStart(2, "0");
  const file = `${status.device.map(hex).join(":")}:${status.inode}`;
  const locks = readLimited(system, "/proc/locks") ?? "";
  for (const [, pid, lockedFile] of locks.matchAll(/^\d+: FLOCK +ADVISORY +WRITE (\d+) (\S+) /gm)) {
    if (lockedFile === file) return Number(pid);
  }
  return undefined;
}

/**
 * Returns why a pid file cannot be locked; undefined if no process holds its lock.
 * @param publishedCid returns the CID that a launcher publishes.
 */
export function lockProblem(
  system: System,
  path: string,
  publishedCid: (pid: number) => number | undefined,
): Problem | undefined {
  const holder = lockHolder(system, path);
  if (holder === undefined) return undefined;
  const launcher = launcherOf(holder, commandLine(system, holder), publishedCid(holder));
  return {
    why: `in use by another launcher: ${launcherText(launcher)}`,
    advice: "choose another file; this one is free once that launcher and its enclave have ended",
  };
}
