/** Other processes: their memory, their descriptors, their exit. */
import { readFileSync } from "node:fs";
import { closeFd, identityOf, readShortFile } from "./files.ts";
import { NR } from "./kernel.ts";
import { addressOf, call } from "./libc.ts";

const localVector = new BigUint64Array(new ArrayBuffer(16)); // struct iovec (linux/uio.h): base, length
const remoteVector = new BigUint64Array(new ArrayBuffer(16));
const localAt = addressOf(localVector);
const remoteAt = addressOf(remoteVector);
const largestAddress = 2 ** 47; // the end of user space with four page table levels (Documentation/arch/x86/x86_64/mm.rst)

function transfer(nr: number, pid: number, remote: number, local: Uint8Array, length: number): number {
  if (remote < 0 || remote >= largestAddress) return 0;
  localVector[0] = BigInt(addressOf(local));
  localVector[1] = BigInt(length);
  remoteVector[0] = BigInt(remote);
  remoteVector[1] = BigInt(length);
  return Math.max(0, call(nr, pid, localAt, 1, remoteAt, 1, 0));
}

/** Reads another process's memory; returns the number of bytes that are readable from that address on. */
export function readMemory(pid: number, address: number, into: Uint8Array, length = into.length): number {
  return transfer(NR.process_vm_readv, pid, address, into, length);
}

/** Writes another process's memory; false if it could not be written as a whole. */
export function writeMemory(pid: number, address: number, bytes: Uint8Array): boolean {
  return (
    bytes.length === 0 || transfer(NR.process_vm_writev, pid, address, bytes, bytes.length) === bytes.length
  );
}

const textBuffer = Buffer.from(new ArrayBuffer(4096));

/** Reads a NUL-terminated text of another process; undefined if it is unreadable or longer than a path may be. */
export function readText(pid: number, address: number): string | undefined {
  const short = Math.min(256, 4096 - (address % 4096)); // most texts end within the page where they begin
  let got = readMemory(pid, address, textBuffer, short);
  let end = textBuffer.subarray(0, got).indexOf(0);
  if (end < 0) {
    got = readMemory(pid, address, textBuffer);
    end = textBuffer.subarray(0, got).indexOf(0);
  }
  return end < 0 ? undefined : textBuffer.toString("utf8", 0, end);
}

/** Returns the identity of the file behind one of a process's descriptors. */
export function identityOfDescriptor(pid: number, fd: number): string | undefined {
  return fd < 0 ? undefined : identityOf(`/proc/${pid}/fd/${fd}`);
}

/** Returns a descriptor for a process; undefined if it has exited. */
export function openProcess(pid: number): number | undefined {
  const fd = call(NR.pidfd_open, pid, 0);
  return fd < 0 ? undefined : fd;
}

/** Copies another process's descriptor; returns the copy, or the negated errno. The caller closes it. */
export function copyDescriptor(pid: number, fd: number): number {
  const processFd = call(NR.pidfd_open, pid, 0);
  if (processFd < 0) return processFd;
  const copy = call(NR.pidfd_getfd, processFd, fd, 0);
  closeFd(processFd);
  return copy;
}

/** Sends a signal; returns whether the process exists. */
export function sendSignal(pid: number, signal: number): boolean {
  return call(NR.kill, pid, signal) === 0;
}

/** How a process ended. */
export type ProcessEnd = { status: number } | { signal: number };

/** Returns how a child of this process ended; undefined while it runs. */
export function childEnd(pid: number): ProcessEnd | undefined {
  const info = new Int32Array(new ArrayBuffer(128)); // siginfo_t (asm-generic/siginfo.h)
  const P_PID = 1; // linux/wait.h
  const WEXITED_NOHANG = 4 | 1; // linux/wait.h
  if (call(NR.waitid, P_PID, pid, addressOf(info), WEXITED_NOHANG, 0) < 0) return { status: 0 };
  if (info[0] === 0) return undefined;
  const CLD_EXITED = 1; // asm-generic/siginfo.h: si_code at 8, si_status at 24
  return info[2] === CLD_EXITED ? { status: info[6] ?? 0 } : { signal: info[6] ?? 0 };
}

/** Returns the environment that this process was started with; bun adds the contents of .env files to process.env. */
export function givenEnvironment(): string[] {
  return readFileSync("/proc/self/environ", "utf8").split("\0").filter(Boolean);
}

/** Returns the fields of /proc/PID/status; empty if the process has exited. */
export function processStatus(pid: number): Map<string, string> {
  const fields = new Map<string, string>();
  const text = readShortFile(`/proc/${pid}/status`) ?? "";
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

/** Returns whether a signal is pending for a thread, or whether the thread has exited. */
export function signalState(tid: number): "none" | "pending" | "gone" {
  const fields = processStatus(tid);
  if (fields.size === 0 || fields.get("State")?.startsWith("Z")) return "gone";
  const mask = (name: string): bigint => BigInt(`0x${fields.get(name) ?? "0"}`);
  return ((mask("SigPnd") | mask("ShdPnd")) & ~mask("SigBlk") & ~mask("SigIgn")) === 0n ? "none" : "pending";
}

/** Returns the memory of a process: anonymous and file pages, in KiB, now and at their highest. */
export function memoryUse(pid: number): {
  rssAnonKiB: number;
  rssFileKiB: number;
  rssShmemKiB: number;
  highKiB: number;
} {
  const fields = processStatus(pid);
  const number = (name: string): number => Number.parseInt(fields.get(name) ?? "0", 10);
  return {
    rssAnonKiB: number("RssAnon"),
    rssFileKiB: number("RssFile"),
    rssShmemKiB: number("RssShmem"),
    highKiB: number("VmHWM"),
  };
}

/** One mapping of another process. */
export interface MappedRange {
  start: number;
  end: number;
  shared: boolean;
  /** Offset of the range in the file. */
  offset: number;
  /** The name of the range in /proc/PID/map_files. */
  link: string;
  name: string;
}

/** Returns the mappings of a process that overlap the given range, in ascending order. */
export function mappedRanges(pid: number, from: number, to: number): MappedRange[] {
  const ranges: MappedRange[] = [];
  let text = "";
  try {
    text = readFileSync(`/proc/${pid}/maps`, "latin1");
  } catch {
    return ranges;
  }
  for (const line of text.split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, first = "", last = "", access = "", offset = "", name = ""] = match;
    const start = Number.parseInt(first, 16);
    const end = Number.parseInt(last, 16);
    if (end <= from || start >= to) continue;
    const link = `/proc/${pid}/map_files/${first.replace(/^0+(?=.)/, "")}-${last.replace(/^0+(?=.)/, "")}`;
    ranges.push({ start, end, shared: access[3] === "s", offset: Number.parseInt(offset, 16), link, name });
  }
  return ranges;
}
