/**
 * Reads a file into memory by several threads at once, this one among them: where the file is in the page cache, a
 * single processor is slower than the memory.
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
/** A smaller one than this is, even while another is read first. */
export const LEAST_BYTES_AHEAD = 4 * 1024 * 1024;
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

/** A file that threads are reading; the end of it stops them and waits for the last. */
export class FileReading implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly file: Reading,
    private readonly team: CallThreads,
  ) {}

  /**
   * Has threads begin. Gives undefined, with nothing read, where it is not worth it or cannot be done. Throws
   * SyscallError.
   * @param least bytes that are worth it.
   */
  static begin(system: System, file: Reading, least = LEAST_BYTES): FileReading | undefined {
    const { fd, size, to } = file;
    const threads = size < least ? 0 : Math.min(MOST_THREADS, usableCpus(system) - 1);
    if (threads < 1) return undefined;
    const calls: ThreadCall[] = [];
    const number = NR_PREAD64[KERNEL_ARCHITECTURE];
    for (let at = 0; at < size; at += PART_BYTES) {
      const length = Math.min(PART_BYTES, size - at);
      calls.push({ number, args: [fd.number, to + at, length, at], bytes: length });
    }
    const team = CallThreads.begin(system, calls, threads);
    return team === undefined ? undefined : new FileReading(system, file, team);
  }

  /**
   * Takes part until all is read. Throws SyscallError, and what `each` throws.
   * @param each called for each part in the file's order, with the bytes that were read of it: fewer than its length
   * where the file has become shorter, or for no reason.
   */
  finish(each: (offset: number, length: number, got: number) => void): void {
    const { system, team } = this;
    const { fd, path, size, to } = this.file;
    for (let at = 0; at < size; ) {
      const next = at / PART_BYTES;
      const got = team.result(next);
      if (got !== undefined) {
        each(at, Math.min(PART_BYTES, size - at), got);
        at += PART_BYTES;
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
    const parts = Math.ceil(size / PART_BYTES);
    system.trace.call?.("pread", `${fd.number}, [${parts} parts], ${team.count} threads`, size);
  }

  [Symbol.dispose](): void {
    this.team[Symbol.dispose]();
  }
}
