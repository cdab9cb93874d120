/**
 * Allocates files of huge pages by several threads at once, which is zeroing: where there is much of it, a single
 * processor is slower than the memory. One thread at a time can allocate in a file, so each takes the next part of
 * another file. Their owner is one of them: the others work while it does something else, it joins them when there is
 * nothing else to do, and they are gone when it disposes of them.
 */
import { KERNEL_ARCHITECTURE } from "../architecture.ts";
import { SyscallError } from "../errors.ts";
import { NR_FALLOCATE } from "../linux/fcntl.ts";
import type { HugePageFile } from "../memory.ts";
import type { System } from "../system.ts";
import { type ThreadCall, ThreadPool } from "./pool.ts";

/** A part is this of what is left of its file: the last ones are small, so that none is waited for long at the end. */
const PART_OF_REST = 1 / 4;
/** No part is larger, but for a larger page: a stop is not waited for longer than that. */
const MOST_PART_BYTES = 32 * 1024 * 1024;

/** Who waits for the threads. */
export interface Watch {
  /** Waits for a descriptor to be readable, or some time; may throw to stop. Gives whether it is. */
  readonly wait: (fd: number) => boolean;
  /** Told of the bytes that have been allocated since it was last told. */
  readonly step: (bytes: number) => void;
}

/** A part of a file, in bytes. */
export interface Part<F> {
  readonly file: F;
  readonly offset: number;
  readonly length: number;
}

/** Parts of files in the order in which they are taken: of each file the first, then of each the second. */
export function partsOf<F extends Pick<HugePageFile, "size" | "pageBytes">>(files: readonly F[]): Part<F>[] {
  const parts: Part<F>[] = [];
  let unfinished = files.map((file) => ({ file, offset: 0 }));
  while (unfinished.length > 0) {
    for (const each of unfinished) {
      const { file, offset } = each;
      const length = partLength(file, file.size - offset);
      parts.push({ file, offset, length });
      each.offset += length;
    }
    unfinished = unfinished.filter(({ file, offset }) => offset < file.size);
  }
  return parts;
}

/** Whole pages, one at the least. */
function partLength({ pageBytes }: Pick<HugePageFile, "pageBytes">, rest: number): number {
  const wanted = Math.min(MOST_PART_BYTES, rest * PART_OF_REST);
  return Math.min(rest, Math.ceil(wanted / pageBytes) * pageBytes);
}

/** Files that are being allocated, whole; the end of it stops the threads and waits for the last. */
export class PreallocThreads implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly parts: readonly Part<HugePageFile>[],
    private readonly team: ThreadPool,
  ) {}

  /**
   * Begins. @param groups files of one page size each, in the order in which they are begun. @param threads the one
   * that calls this among them: there is one beside it at least. Gives undefined, with nothing done, where none can be
   * made. Throws SyscallError.
   */
  static begin(
    system: System,
    groups: readonly (readonly HugePageFile[])[],
    threads: number,
  ): PreallocThreads | undefined {
    const number = NR_FALLOCATE[KERNEL_ARCHITECTURE];
    const parts: Part<HugePageFile>[] = [];
    for (const files of groups) for (const part of partsOf(files)) parts.push(part);
    const calls = parts.map(
      ({ file, offset, length }): ThreadCall => ({
        number,
        args: [file.number, 0, offset, length],
        bytes: length,
      }),
    );
    const team = ThreadPool.begin(system, calls, Math.max(1, threads - 1));
    return team === undefined ? undefined : new PreallocThreads(system, parts, team);
  }

  /** Takes part until all of it is done. Throws as HugePageFile.allocate does, and what the watch throws. */
  finish(watch: Watch): void {
    const { system, parts, team } = this;
    let [own, told] = [0, 0];
    const report = () => {
      const done = own + team.done;
      watch.step(done - told);
      told = done;
    };
    for (let i = team.take(); i !== undefined && team.failure === 0; i = team.take()) {
      const part = parts[i];
      if (part === undefined) throw new RangeError(`no part ${i}`);
      part.file.allocate(part.offset, part.length);
      own += part.length;
      report();
    }
    while (!team.over) {
      watch.wait(team.fd);
      report();
    }
    report();
    const { failure, count } = team;
    const args = `[${parts.length} parts], ${count + 1} threads`;
    system.trace.call?.("fallocate", args, failure === 0 ? 0 : -1, failure === 0 ? undefined : failure);
    if (failure !== 0) throw new SyscallError("fallocate", failure, "");
  }

  [Symbol.dispose](): void {
    this.team[Symbol.dispose]();
  }
}
