/** A pool of native threads that make the system calls of a table in its order. */
import { Fd, readSome } from "../files.ts";
import { viewOf } from "../libc.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../linux/fcntl.ts";
import { unmap } from "../memory.ts";
import { checked, type System } from "../system.ts";
import { hex } from "../trace.ts";
import { CALL, CALL_BYTES, HEAD, HEAD_BYTES } from "./call-table.ts";
import { CODE_BYTES, callLoop, mapCode, mapZeros } from "./routines.ts";

/** A system call that returns 0 or more on success. */
export interface ThreadCall {
  /** The number of the call on this architecture. */
  readonly number: number;
  readonly args: readonly [number, number, number, number];
  /** Bytes that it adds to the progress. */
  readonly bytes: number;
}

/** Running threads and their table. Disposal stops the threads after their current call and joins them. */
export class ThreadPool implements Disposable {
  readonly #owned = new DisposableStack();
  readonly #threads: bigint[] = [];
  readonly #address: number;
  readonly #table: BigInt64Array;
  readonly #reading: number;
  #finished = 0;

  /** Starts the threads; returns undefined if none can be created. Throws SyscallError. */
  static start(system: System, calls: readonly ThreadCall[], threads: number): ThreadPool | undefined {
    using stack = new DisposableStack();
    const pool = stack.use(new ThreadPool(system, calls));
    const code = mapCode(system, callLoop());
    pool.#owned.defer(() => unmap(system, code, CODE_BYTES));
    for (let i = 0; i < Math.min(threads, calls.length); i++) if (!pool.#add(code)) break;
    if (pool.#threads.length === 0) return undefined;
    stack.move();
    return pool;
  }

  private constructor(
    private readonly system: System,
    calls: readonly ThreadCall[],
  ) {
    const length = HEAD_BYTES + CALL_BYTES * calls.length;
    this.#address = mapZeros(system, length);
    this.#owned.defer(() => unmap(system, this.#address, length));
    const { buffer, byteOffset } = viewOf(this.#address, length);
    this.#table = new BigInt64Array(buffer, byteOffset, length / 8);
    this.#table[HEAD.calls] = BigInt(calls.length);
    let at = HEAD_BYTES / 8;
    for (const { number, args, bytes } of calls) {
      for (const value of [number, ...args, bytes, -1]) this.#table[at++] = BigInt(value);
    }
    this.#reading = this.#finishedPipe();
  }

  /** Creates the pipe to which threads write when they finish; returns its read end. */
  #finishedPipe(): number {
    const ends = new Uint8Array(8);
    const view = new DataView(ends.buffer);
    const created = this.system.libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC);
    const [reading, writing] = [view.getInt32(0, true), view.getInt32(4, true)];
    checked(this.system, "pipe2", created, { args: () => `[${reading}, ${writing}], O_NONBLOCK|O_CLOEXEC` });
    this.#owned.use(new Fd(this.system, reading));
    this.#owned.use(new Fd(this.system, writing));
    this.#table[HEAD.finished] = BigInt(writing);
    return reading;
  }

  /** Creates a thread; returns whether that succeeded. */
  #add(code: number): boolean {
    const id = new BigUint64Array(1);
    const { pthread_create } = this.system.libc.memoryCalls;
    const errno = pthread_create(id, null, code, this.#address);
    const args = `…, NULL, ${hex(code)}, ${hex(this.#address)}`;
    this.system.trace.call?.("pthread_create", args, errno === 0 ? 0 : -1, errno === 0 ? undefined : errno);
    if (errno === 0) this.#threads.push(id[0] ?? 0n);
    return errno === 0;
  }

  /** The number of threads. */
  get count(): number {
    return this.#threads.length;
  }

  /** A descriptor that becomes readable when a thread finishes. */
  get fd(): number {
    return this.#reading;
  }

  /** Whether all threads have finished: all calls they claimed are made, or one failed. */
  get finished(): boolean {
    this.#finished += Math.max(0, readSome(this.system, this.#reading, new Uint8Array(64)));
    return this.#finished >= this.#threads.length;
  }

  /** Bytes of all successful calls. */
  get done(): number {
    return Number(Atomics.load(this.#table, HEAD.done));
  }

  /** The errno of a call that failed; 0 if none did. */
  get failure(): number {
    return Math.abs(Number(Atomics.load(this.#table, HEAD.failure)));
  }

  /** Returns the result of a call; undefined until it has succeeded. */
  result(call: number): number | undefined {
    const result = Number(Atomics.load(this.#table, (HEAD_BYTES + CALL_BYTES * call) / 8 + CALL.result));
    return result < 0 ? undefined : result;
  }

  /** Claims the next call, for the caller to make it; returns its index, or undefined if all are claimed. */
  claim(): number | undefined {
    const call = Number(Atomics.add(this.#table, HEAD.next, 1n));
    return call < Number(this.#table[HEAD.calls]) ? call : undefined;
  }

  /** Stores the result of a claimed call. */
  complete(call: number, result: number): void {
    Atomics.store(this.#table, (HEAD_BYTES + CALL_BYTES * call) / 8 + CALL.result, BigInt(result));
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    Atomics.store(this.#table, HEAD.stop, 1n);
    const { pthread_join } = this.system.libc.memoryCalls;
    for (const thread of this.#threads.splice(0)) pthread_join(thread, null);
    this.#owned.dispose();
  }
}
