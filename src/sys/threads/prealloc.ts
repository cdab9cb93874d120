/**
 * Allocation of huge page files by several threads. Allocation is zeroing, for which one processor is slower than the
 * memory. The kernel allocates in a file one thread at a time, so consecutive calls belong to different files. The
 * threads work while the launch goes on; the main thread joins in when it has nothing else to do.
 */

import { KERNEL_ARCHITECTURE } from "../architecture.ts";
import { SyscallError } from "../errors.ts";
import { SYSCALLS } from "../linux/unistd.ts";
import type { HugePageFile } from "../memory.ts";
import type { System } from "../system.ts";
import { type ThreadCall, ThreadPool } from "./pool.ts";

/** Size of a chunk, as a fraction of the rest of the file: the last chunks are small, so no thread is late. */
const CHUNK_FRACTION = 1 / 4;
/** Maximum of a chunk (except for larger pages), which limits how long a cancellation waits. */
const MAX_CHUNK_BYTES = 32 * 1024 * 1024;

/** Callbacks of a wait for the threads. Both may throw to cancel it. */
export interface PreallocCallbacks {
  /** Waits for a short time until a descriptor is readable; returns whether it is. */
  readonly wait: (fd: number) => boolean;
  /** Called with the number of bytes allocated since the previous call. */
  readonly step: (bytes: number) => void;
}

/** A range of a file, in bytes. */
export interface PreallocChunk<F> {
  readonly file: F;
  readonly offset: number;
  readonly length: number;
}

/** Returns the chunks of files in the order of allocation: the first of each file, then the second of each. */
export function preallocChunks<F extends Pick<HugePageFile, "size" | "pageBytes">>(
  files: readonly F[],
): PreallocChunk<F>[] {
  const chunks: PreallocChunk<F>[] = [];
  let unfinished = files.map((file) => ({ file, offset: 0 }));
  while (unfinished.length > 0) {
    for (const each of unfinished) {
      const { file, offset } = each;
      const length = chunkLength(file, file.size - offset);
      chunks.push({ file, offset, length });
      each.offset += length;
    }
    unfinished = unfinished.filter(({ file, offset }) => offset < file.size);
  }
  return chunks;
}

/** Returns the length of the next chunk: whole pages, at least one. */
function chunkLength({ pageBytes }: Pick<HugePageFile, "pageBytes">, rest: number): number {
  const wanted = Math.min(MAX_CHUNK_BYTES, rest * CHUNK_FRACTION);
  return Math.min(rest, Math.ceil(wanted / pageBytes) * pageBytes);
}

/** Threads that allocate whole files; disposal stops them. */
export class PreallocThreads implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly chunks: readonly PreallocChunk<HugePageFile>[],
    private readonly pool: ThreadPool,
  ) {}

  /**
   * Starts the threads; returns undefined if none can be created. Throws SyscallError.
   * @param groups files of one page size each, in the order of allocation.
   * @param threads the number of threads including the calling one; at least one more is started.
   */
  static start(
    system: System,
    groups: readonly (readonly HugePageFile[])[],
    threads: number,
  ): PreallocThreads | undefined {
    const number = SYSCALLS.fallocate[KERNEL_ARCHITECTURE];
    const chunks: PreallocChunk<HugePageFile>[] = [];
    for (const files of groups) chunks.push(...preallocChunks(files));
    const calls = chunks.map(
      ({ file, offset, length }): ThreadCall => ({
        number,
        args: [file.number, 0, offset, length],
        bytes: length,
      }),
    );
    const pool = ThreadPool.start(system, calls, Math.max(1, threads - 1));
    return pool === undefined ? undefined : new PreallocThreads(system, chunks, pool);
  }

  /** Allocates on this thread as well until all is done. Throws SyscallError, and what the callbacks throw. */
  finish(watch: PreallocCallbacks): void {
    const { system, chunks, pool } = this;
    let [own, reported] = [0, 0];
    const report = () => {
      const done = own + pool.done;
      watch.step(done - reported);
      reported = done;
    };
    for (let i = pool.claim(); i !== undefined && pool.failure === 0; i = pool.claim()) {
      const chunk = chunks[i];
      if (chunk === undefined) throw new RangeError(`no chunk ${i}`);
      chunk.file.allocate(chunk.offset, chunk.length);
      own += chunk.length;
      report();
    }
    while (!pool.finished) {
      watch.wait(pool.fd);
      report();
    }
    report();
    const { failure, count } = pool;
    const args = `[${chunks.length} chunks], ${count + 1} threads`;
    system.trace.call?.("fallocate", args, failure === 0 ? 0 : -1, failure === 0 ? undefined : failure);
    if (failure !== 0) throw new SyscallError("fallocate", failure, "");
  }

  [Symbol.dispose](): void {
    this.pool[Symbol.dispose]();
  }
}
