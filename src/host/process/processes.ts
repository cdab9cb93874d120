/** Finds processes by their open file descriptors. Only root sees those of other users' processes. */

import { listDirectory } from "../../sys/directory.ts";
import { fileStatus } from "../../sys/file-status.ts";
import { readLimited } from "../../sys/files.ts";
import { cString } from "../../sys/libc.ts";
import { resultOrErrno, type System } from "../../sys/system.ts";
import { quoted } from "../../sys/trace.ts";

/** A process with matching file descriptors. */
export interface DescriptorHolder {
  readonly pid: number;
  readonly uid: number | undefined;
  /** Its command line. */
  readonly args: readonly string[];
  /** The number of its descriptors that match. */
  readonly count: number;
}

/** The processes found. */
export interface DescriptorHolders {
  readonly holders: readonly DescriptorHolder[];
  /** False if some processes could not be inspected. */
  readonly complete: boolean;
}

const MAX_ARGS_BYTES = 16 * 1024;
const MAX_LINK_BYTES = 256;

/**
 * Inspects the descriptors of every process. @param matches decides by the target of the link in /proc/PID/fd, and by
 * the process.
 */
export function processesWithDescriptor(
  system: System,
  matches: (link: string, pid: number) => boolean,
): DescriptorHolders {
  const holders: DescriptorHolder[] = [];
  let complete = true;
  for (const pid of (listDirectory(system, "/proc") ?? []).filter((name) => /^\d+$/.test(name))) {
    const args = commandLine(system, Number(pid));
    // A kernel thread has no arguments and no descriptors.
    if (args.length === 0) continue;
    const descriptors = listDescriptors(system, Number(pid));
    if (descriptors === undefined) complete = false;
    const count = (descriptors ?? []).filter(({ link }) => matches(link, Number(pid))).length;
    if (count > 0)
      holders.push({ pid: Number(pid), uid: fileStatus(system, `/proc/${pid}`)?.uid, args, count });
  }
  return { holders, complete };
}

/** Returns the arguments of a process; none for a kernel thread, or if they cannot be read. */
export function commandLine(system: System, pid: number): string[] {
  const text = readLimited(system, `/proc/${pid}/cmdline`, MAX_ARGS_BYTES) ?? "";
  return text === "" ? [] : text.replace(/\0$/, "").split("\0");
}

/** An open file descriptor of a process. */
export interface Descriptor {
  readonly number: number;
  /** The target of its link in /proc/PID/fd. */
  readonly link: string;
}

/** Returns the open descriptors of a process; none if it cannot be inspected. */
export function descriptorsOf(system: System, pid: number): Descriptor[] {
  return listDescriptors(system, pid) ?? [];
}

/** Returns undefined if the process cannot be inspected. */
function listDescriptors(system: System, pid: number): Descriptor[] | undefined {
  const directory = `/proc/${pid}/fd`;
  const names = listDirectory(system, directory);
  return names?.map((name) => ({ number: Number(name), link: readLink(system, `${directory}/${name}`) }));
}

/** Returns the network namespace of a process, such as `net:[4026531840]`; "" if it cannot be read. */
export function networkNamespace(system: System, pid: number): string {
  return readLink(system, `/proc/${pid}/ns/net`);
}

/** Returns the target of a link, "" if it cannot be read. */
function readLink(system: System, path: string): string {
  const bytes = new Uint8Array(MAX_LINK_BYTES);
  const returned = Number(system.libc.readlink(cString(path), bytes, bytes.length));
  const length = resultOrErrno(system, "readlink", returned, () => `${quoted(path)}, …, ${bytes.length}`);
  return length < 0 ? "" : new TextDecoder().decode(bytes.subarray(0, length));
}
