/**
 * Reading of files into memory by several threads, including the calling one. For files in the page cache, one
 * processor is slower than the memory.
 */

import { usableCpus } from "../affinity.ts";
import { KERNEL_ARCHITECTURE } from "../architecture.ts";
import { SyscallError } from "../errors.ts";
import { type NamedFile, readAt } from "../files.ts";
import { SYSCALLS } from "../linux/unistd.ts";
import { isReadable } from "../poll.ts";
import type { System } from "../system.ts";
import { type ThreadCall, ThreadPool } from "./pool.ts";

/** Below this size, starting threads costs more than it saves. */
const MIN_BYTES = 4 * 1024 * 1024;
/** Small enough that the checksum of a chunk is computed while it is in the processor's cache. */
const CHUNK_BYTES = 2 * 1024 * 1024;
/** More threads in addition to the calling one do not help: memory is the limit. */
const MAX_THREADS = 3;
/** Interval of waiting for the last chunks. */
const WAIT_MS = 1;

/** A file to read as a whole. */
export interface FileRead extends NamedFile {
  /** In bytes. */
  readonly size: number;
  /** The address it is read to. */
  readonly to: number;
}

/** A range of a file, in bytes. */
export interface ReadChunk {
  readonly file: FileRead;
  readonly at: number;
  readonly length: number;
}

/** Threads that read files, one after another; disposal stops them. */
export class ReadThreads implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly chunks: readonly ReadChunk[],
    private readonly pool: ThreadPool,
  ) {}

  /**
   * Starts the threads. Returns undefined if the files are small or no thread can be created.
   * @param files in the order in which `finish` is called for them.
   */
  static start(system: System, files: readonly FileRead[]): ReadThreads | undefined {
    let bytes = 0;
    for (const { size } of files) bytes += size;
    const threads = bytes < MIN_BYTES ? 0 : Math.min(MAX_THREADS, usableCpus(system) - 1);
    if (threads < 1) return undefined;
    const chunks: ReadChunk[] = [];
    for (const file of files) chunks.push(...readChunks(file));
    const number = SYSCALLS.pread64[KERNEL_ARCHITECTURE];
    const calls = chunks.map(
      ({ file: { fd, to }, at, length }): ThreadCall => ({
        number,
        args: [fd.number, to + at, length, at],
        bytes: length,
      }),
    );
    try {
      const pool = ThreadPool.start(system, calls, threads);
      return pool === undefined ? undefined : new ReadThreads(system, chunks, pool);
    } catch (error) {
      if (error instanceof SyscallError) return undefined;
      throw error;
    }
  }

  /**
   * Reads on this thread as well until a file is complete. Throws what `each` throws.
   * @param each called for each chunk in ascending order. `got` is less than `length` if the file was truncated, if
   * the chunk could not be read, or after a short read; the caller reads the chunk again.
   */
  finish(file: FileRead, each: (offset: number, length: number, got: number) => void): void {
    const { system, pool } = this;
    let first = 0;
    while (this.#chunk(first).file.to !== file.to) first++;
    let i = first;
    while (this.chunks[i]?.file.to === file.to) {
      const { at, length } = this.#chunk(i);
      // After a failure the threads stop: chunks without a result are not read any more.
      const got = pool.result(i) ?? (pool.failure !== 0 ? 0 : undefined);
      if (got !== undefined) {
        each(at, length, got);
        i++;
        continue;
      }
      const own = pool.claim();
      if (own !== undefined) pool.complete(own, this.#read(this.#chunk(own)));
      else if (!pool.finished) isReadable(system, pool.fd, WAIT_MS);
    }
    system.trace.call?.(
      "pread",
      `${file.fd.number}, [${i - first} chunks], ${pool.count} threads`,
      file.size,
    );
  }

  #chunk(index: number): ReadChunk {
    const chunk = this.chunks[index];
    if (chunk === undefined) throw new RangeError(`no chunk ${index}`);
    return chunk;
  }

  /** Returns the number of bytes read; 0 on failure, because the caller reads again and reports the file. */
  #read({ file, at, length }: ReadChunk): number {
    try {
      return readAt(this.system, file, { offset: at, length, to: file.to + at });
    } catch (error) {
      if (error instanceof SyscallError) return 0;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.pool[Symbol.dispose]();
  }
}

/** Returns the chunks of a file. */
export function readChunks(file: FileRead): ReadChunk[] {
  const chunks: ReadChunk[] = [];
  for (let at = 0; at < file.size; at += CHUNK_BYTES) {
    chunks.push({ file, at, length: Math.min(CHUNK_BYTES, file.size - at) });
  }
  return chunks;
}
