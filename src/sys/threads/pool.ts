/** System calls that several threads make at once, out of one table. The threads are gone when their owner is. */

import { Fd, readSome } from "../files.ts";
import { viewOf } from "../libc.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../linux/fcntl.ts";
import { unmap } from "../memory.ts";
import { checked, type System } from "../system.ts";
import { hex } from "../trace.ts";
import { CALL, CALL_BYTES, callCode, HEAD, HEAD_BYTES } from "./call-code.ts";
import { CODE_BYTES, executable, mapZeros } from "./machine-code.ts";

/** One call, whose result is 0 or more where it succeeds. */
export interface ThreadCall {
  /** The kernel's number of it on this machine. */
  readonly number: number;
  readonly args: readonly [number, number, number, number];
  /** What it counts as when it is made. */
  readonly bytes: number;
}

/** Threads at work; the end of it stops them and waits for the last. */
export class ThreadPool implements Disposable {
  readonly #owned = new DisposableStack();
  readonly #threads: bigint[] = [];
  readonly #address: number;
  readonly #words: BigInt64Array;
  readonly #reading: number;
  #through = 0;

  /** Begins; undefined where no thread can be made. Throws SyscallError. */
  static begin(system: System, calls: readonly ThreadCall[], threads: number): ThreadPool | undefined {
    using stack = new DisposableStack();
    const team = stack.use(new ThreadPool(system, calls));
    const code = executable(system, callCode());
    team.#owned.defer(() => unmap(system, code, CODE_BYTES));
    for (let i = 0; i < Math.min(threads, calls.length); i++) if (!team.#add(code)) break;
    if (team.#threads.length === 0) return undefined;
    stack.move();
    return team;
  }

  private constructor(
    private readonly system: System,
    calls: readonly ThreadCall[],
  ) {
    const length = HEAD_BYTES + CALL_BYTES * calls.length;
    this.#address = mapZeros(system, length);
    this.#owned.defer(() => unmap(system, this.#address, length));
    const { buffer, byteOffset } = viewOf(this.#address, length);
    this.#words = new BigInt64Array(buffer, byteOffset, length / 8);
    this.#words[HEAD.calls] = BigInt(calls.length);
    let at = HEAD_BYTES / 8;
    for (const { number, args, bytes } of calls) {
      for (const word of [number, ...args, bytes, -1]) this.#words[at++] = BigInt(word);
    }
    this.#reading = this.#throughPipe();
  }

  /** The pipe by which threads say that they are through: gives the descriptor to read from. */
  #throughPipe(): number {
    const ends = new Uint8Array(8);
    const view = new DataView(ends.buffer);
    const made = this.system.libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC);
    const [reading, writing] = [view.getInt32(0, true), view.getInt32(4, true)];
    checked(this.system, "pipe2", made, () => `[${reading}, ${writing}], O_NONBLOCK|O_CLOEXEC`, "");
    this.#owned.use(new Fd(this.system, reading));
    this.#owned.use(new Fd(this.system, writing));
    this.#words[HEAD.through] = BigInt(writing);
    return reading;
  }

  /** Makes one more thread; gives whether that could be done. */
  #add(code: number): boolean {
    const id = new BigUint64Array(1);
    const { pthread_create } = this.system.libc.memoryCalls;
    const errno = pthread_create(id, null, code, this.#address);
    const args = `…, NULL, ${hex(code)}, ${hex(this.#address)}`;
    this.system.trace.call?.("pthread_create", args, errno === 0 ? 0 : -1, errno === 0 ? undefined : errno);
    if (errno === 0) this.#threads.push(id[0] ?? 0n);
    return errno === 0;
  }

  /** How many there are. */
  get count(): number {
    return this.#threads.length;
  }

  /** A descriptor that is readable when a thread is through; `over` reads it. */
  get fd(): number {
    return this.#reading;
  }

  /** Whether all threads are through: whatever they have taken is made, or one has failed. */
  get over(): boolean {
    this.#through += Math.max(0, readSome(this.system, this.#reading, new Uint8Array(64)));
    return this.#through >= this.#threads.length;
  }

  /** Bytes of all calls that are made. */
  get done(): number {
    return Number(Atomics.load(this.#words, HEAD.done));
  }

  /** The errno of a call that failed; 0 where none has. */
  get failure(): number {
    return Math.abs(Number(Atomics.load(this.#words, HEAD.failure)));
  }

  /** What a call gave; undefined until it is made. */
  result(call: number): number | undefined {
    const result = Number(Atomics.load(this.#words, (HEAD_BYTES + CALL_BYTES * call) / 8 + CALL.result));
    return result < 0 ? undefined : result;
  }

  /** Takes the next call away from the threads, for its caller to make; undefined when all are taken. */
  take(): number | undefined {
    const call = Number(Atomics.add(this.#words, HEAD.next, 1n));
    return call < Number(this.#words[HEAD.calls]) ? call : undefined;
  }

  /** Says what a call gave that was taken. */
  made(call: number, result: number): void {
    Atomics.store(this.#words, (HEAD_BYTES + CALL_BYTES * call) / 8 + CALL.result, BigInt(result));
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    Atomics.store(this.#words, HEAD.stop, 1n);
    const { pthread_join } = this.system.libc.memoryCalls;
    for (const thread of this.#threads.splice(0)) pthread_join(thread, null);
    this.#owned.dispose();
  }
}
