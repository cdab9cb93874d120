/** Fields of /proc/self/status (proc_pid_status(5)). */
import { readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";

/** Returns a field's value, such as of `CapEff`; undefined if the file or the field does not exist. */
export function selfStatusField(system: System, name: string): string | undefined {
  const status = readSmallFile(system, "/proc/self/status") ?? "";
  return new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(status)?.[1];
}
