/**
 * Reads files into memory by several threads at once, this one among them: where they are in the page cache, a single
 * processor is slower than the memory.
 */
import { usableCpus } from "../affinity.ts";
import { KERNEL_ARCHITECTURE } from "../architecture.ts";
import { SyscallError } from "../errors.ts";
import { type Fd, readAt } from "../files.ts";
import { NR_PREAD64 } from "../linux/fcntl.ts";
import { isReadable } from "../poll.ts";
import type { System } from "../system.ts";
import { type ThreadCall, ThreadPool } from "./pool.ts";

/** Less is read before the threads are at work. */
const LEAST_BYTES = 4 * 1024 * 1024;
/** A part's checksum is taken while it is in a processor's cache; a signal is looked for after each. */
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

/** A part of a file, in bytes. */
export interface Part {
  readonly file: Reading;
  readonly at: number;
  readonly length: number;
}

/** Files that threads are reading, one after another; the end of it stops them and waits for the last. */
export class FilesReading implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly parts: readonly Part[],
    private readonly team: ThreadPool,
  ) {}

  /**
   * Has threads begin. Gives undefined, with nothing read, where it is not worth it or cannot be done.
   * @param files in the order in which they are finished.
   */
  static begin(system: System, files: readonly Reading[]): FilesReading | undefined {
    let bytes = 0;
    for (const { size } of files) bytes += size;
    const threads = bytes < LEAST_BYTES ? 0 : Math.min(MOST_THREADS, usableCpus(system) - 1);
    if (threads < 1) return undefined;
    const parts: Part[] = [];
    for (const file of files) for (const part of partsOf(file)) parts.push(part);
    const number = NR_PREAD64[KERNEL_ARCHITECTURE];
    const calls = parts.map(
      ({ file: { fd, to }, at, length }): ThreadCall => ({
        number,
        args: [fd.number, to + at, length, at],
        bytes: length,
      }),
    );
    try {
      const team = ThreadPool.begin(system, calls, threads);
      return team === undefined ? undefined : new FilesReading(system, parts, team);
    } catch (error) {
      if (error instanceof SyscallError) return undefined;
      throw error;
    }
  }

  /**
   * Takes part until all of one of the files, which is known by its place, is read. Throws what `each` throws.
   * @param each called for each part in the file's order, with the bytes that were read of it: fewer than its length
   * where the file has become shorter, where the part cannot be read, or for no reason.
   */
  finish(file: Reading, each: (offset: number, length: number, got: number) => void): void {
    const { system, team } = this;
    let first = 0;
    while (this.#part(first).file.to !== file.to) first++;
    let i = first;
    while (this.parts[i]?.file.to === file.to) {
      const { at, length } = this.#part(i);
      // One that has failed is not made any more, nor are those that nobody has taken by then.
      const got = team.result(i) ?? (team.failure !== 0 ? 0 : undefined);
      if (got !== undefined) {
        each(at, length, got);
        i++;
        continue;
      }
      const own = team.take();
      if (own !== undefined) team.made(own, this.#read(this.#part(own)));
      else if (!team.over) isReadable(system, team.fd, STEP_MS);
    }
    system.trace.call?.("pread", `${file.fd.number}, [${i - first} parts], ${team.count} threads`, file.size);
  }

  #part(index: number): Part {
    const part = this.parts[index];
    if (part === undefined) throw new RangeError(`no part ${index}`);
    return part;
  }

  /** Bytes that were read; 0 where that fails: whoever wants them reads them again, and tells whose they are. */
  #read({ file: { fd, path, to }, at, length }: Part): number {
    try {
      return readAt(this.system, fd, path, to + at, length, at);
    } catch (error) {
      if (error instanceof SyscallError) return 0;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.team[Symbol.dispose]();
  }
}

/** A file in the pieces in which it is read, whoever reads it. */
export function partsOf(file: Reading): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < file.size; at += PART_BYTES) {
    parts.push({ file, at, length: Math.min(PART_BYTES, file.size - at) });
  }
  return parts;
}
