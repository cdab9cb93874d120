/**
 * Reads a large file into memory by several threads at once, this one among them: where the file is in the page cache,
 * a single processor is slower than the memory.
 */
import { usableCpus } from "./affinity.ts";
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { CallThreads, type ThreadCall } from "./call-threads.ts";
import { SyscallError } from "./failure.ts";
import { type Fd, readAt } from "./files.ts";
import { NR_PREAD64 } from "./linux/fcntl.ts";
import { isReadable } from "./poll.ts";
import type { System } from "./system.ts";

/** A smaller file is read before the threads are at work. */
const LEAST_BYTES = 32 * 1024 * 1024;
/** A part's checksum is taken while it is in a processor's cache. */
const PART_BYTES = 2 * 1024 * 1024;
/** With more threads than this beside this one it is the memory that is waited for. */
const MOST_THREADS = 3;
/** The last parts are waited for in such steps. */
const STEP_MS = 1;

/** A file, and where in memory it goes: an address. */
export interface Reading {
  readonly fd: Fd;
  readonly path: string;
  readonly size: number;
  readonly to: number;
}

/**
 * Reads the file. Gives false, with nothing read, where it is not worth it or cannot be done. Throws SyscallError, and
 * what `each` throws.
 * @param each called for each part in the file's order, with the bytes that were read of it: fewer than its length
 * where the file has become shorter, or for no reason.
 */
export function readTogether(
  system: System,
  { fd, path, size, to }: Reading,
  each: (offset: number, length: number, got: number) => void,
): boolean {
  const threads = size < LEAST_BYTES ? 0 : Math.min(MOST_THREADS, usableCpus(system) - 1);
  if (threads < 1) return false;
  const calls: ThreadCall[] = [];
  const number = NR_PREAD64[KERNEL_ARCHITECTURE];
  for (let at = 0; at < size; at += PART_BYTES) {
    const length = Math.min(PART_BYTES, size - at);
    calls.push({ number, args: [fd.number, to + at, length, at], bytes: length });
  }
  using team = CallThreads.begin(system, calls, threads);
  if (team === undefined) return false;
  for (let next = 0; next < calls.length; ) {
    const got = team.result(next);
    const at = next * PART_BYTES;
    if (got !== undefined) {
      each(at, Math.min(PART_BYTES, size - at), got);
      next += 1;
      continue;
    }
    const own = team.take();
    if (own !== undefined) {
      const from = own * PART_BYTES;
      const length = Math.min(PART_BYTES, size - from);
      team.made(own, readAt(system, fd, path, to + from, length, from));
    } else {
      isReadable(system, team.fd, STEP_MS);
      // All that they have taken is made by then, but what failed.
      if (team.over && team.result(next) === undefined) throw new SyscallError("pread", team.failure, path);
    }
  }
  system.trace.call?.("pread", `${fd.number}, [${calls.length} parts], ${threads} threads`, size);
  return true;
}
