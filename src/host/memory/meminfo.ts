/** Memory counters of the whole machine or of one NUMA node, from /proc/meminfo or the node's meminfo file. */
import { readLimited } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { NODE_DIRECTORY } from "../paths.ts";

/** Returns one counter in bytes, 0 if the kernel does not have it: `counter("MemFree")`. */
export type MeminfoCounter = (name: string) => number;

/** Reads the counters; undefined if the file cannot be read. @param node undefined for the whole machine. */
export function readMeminfo(system: System, node?: number): MeminfoCounter | undefined {
  const path = node === undefined ? "/proc/meminfo" : `${NODE_DIRECTORY}/node${node}/meminfo`;
  const text = readLimited(system, path);
  if (text === undefined) return undefined;
  const counters = new Map<string, number>();
  for (const [, name = "", kib] of text.matchAll(/^(?:Node \d+ )?([\w()]+): +(\d+) kB$/gm))
    counters.set(name, Number(kib) * 1024);
  return (name) => counters.get(name) ?? 0;
}
