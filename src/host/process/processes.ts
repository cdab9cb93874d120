/** Processes by what they have open: of others' only root may see it. */

import { listDirectory } from "../../sys/directory.ts";
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import { cString } from "../../sys/libc.ts";
import { resultOrErrno, type System } from "../../sys/system.ts";
import { quoted } from "../../sys/trace.ts";

/** A process that has what is looked for. */
export interface Holder {
  readonly pid: number;
  readonly uid: number | undefined;
  /** Its command line. */
  readonly words: readonly string[];
  /** How many of its descriptors it is. */
  readonly count: number;
}

/** Those that were found, and whether every process could be looked at. */
export interface Holders {
  readonly holders: readonly Holder[];
  readonly complete: boolean;
}

const MOST_WORDS_BYTES = 16 * 1024;

/** Looks at every process's descriptors. @param isIt by the text of a descriptor's link in /proc. */
export function processesWithDescriptor(system: System, isIt: (link: string) => boolean): Holders {
  const holders: Holder[] = [];
  let complete = true;
  for (const pid of (listDirectory(system, "/proc") ?? []).filter((name) => /^\d+$/.test(name))) {
    const words = commandLine(system, pid);
    // A thread of the kernel's has no words, and no files either.
    if (words.length === 0) continue;
    const fds = listDirectory(system, `/proc/${pid}/fd`);
    if (fds === undefined) complete = false;
    const count = (fds ?? []).filter((fd) => isIt(linkOf(system, `/proc/${pid}/fd/${fd}`) ?? "")).length;
    if (count > 0)
      holders.push({ pid: Number(pid), uid: fileStatus(system, `/proc/${pid}`)?.uid, words, count });
  }
  return { holders, complete };
}

function commandLine(system: System, pid: string): string[] {
  const text = readLimited(system, `/proc/${pid}/cmdline`, MOST_WORDS_BYTES) ?? "";
  return text === "" ? [] : text.replace(/\0$/, "").split("\0");
}

function linkOf(system: System, path: string): string | undefined {
  const bytes = new Uint8Array(256);
  const got = Number(system.libc.readlink(cString(path), bytes, bytes.length));
  const result = resultOrErrno(system, "readlink", got, () => `${quoted(path)}, …, ${bytes.length}`);
  return result < 0 ? undefined : new TextDecoder().decode(bytes.subarray(0, result));
}
