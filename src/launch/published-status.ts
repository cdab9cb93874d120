/** Reads what a running launch publishes about itself. */
import {
  decodeStatus,
  type HolderStatus,
  STATUS_BYTES,
  STATUS_FILE,
} from "../devices/heartbeat/holder-status.ts";
import { descriptorsOf } from "../host/process/processes.ts";
import { openFile, readSome } from "../sys/files.ts";
import { O_RDONLY } from "../sys/linux/fcntl.ts";
import { memoryFileLink } from "../sys/memory-file.ts";
import type { System } from "../sys/system.ts";

/** Returns what a process publishes; undefined for one that is no launch of nitro, or cannot be inspected. */
export function publishedStatus(system: System, pid: number): HolderStatus | "preparing" | undefined {
  const found = descriptorsOf(system, pid).find(({ link }) => link === memoryFileLink(STATUS_FILE));
  if (found === undefined) return undefined;
  try {
    using file = openFile(system, `/proc/${pid}/fd/${found.number}`, O_RDONLY);
    const bytes = new Uint8Array(STATUS_BYTES);
    return readSome(system, file.number, bytes) === STATUS_BYTES ? decodeStatus(system, bytes) : undefined;
  } catch {
    return undefined; // it has just exited, or may not be read
  }
}

/** Returns a function that looks up the CID of a launcher's enclave. */
export function publishedCids(system: System): (pid: number) => number | undefined {
  return (pid) => {
    const status = publishedStatus(system, pid);
    return typeof status === "object" ? status.cid : undefined;
  };
}
