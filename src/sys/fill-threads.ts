/**
 * Allocates files of huge pages by several threads at once, which is zeroing: where there is much of it, a single
 * processor is slower than the memory. One thread at a time can allocate in a file, so each takes the next part of
 * another file. The threads are gone when this returns, however it does.
 */
import { SyscallError } from "./failure.ts";
import { Fd, readSome } from "./files.ts";
import { fillCode, HEAD, HEAD_BYTES, PART_BYTES } from "./fill-code.ts";
import { viewOf } from "./libc.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./linux/fcntl.ts";
import { CODE_BYTES, executable, mapZeros } from "./machine-code.ts";
import { type HugePageFile, unmap } from "./memory.ts";
import { checked, type System } from "./system.ts";
import { hex } from "./trace.ts";

/** Each call allocates so much, or a larger page: a stop is not waited for longer than that. */
const PART_LENGTH = 32 * 1024 * 1024;

/** Who waits for the threads. */
export interface Watch {
  /** Waits for a descriptor to be readable, or some time; may throw to stop. Gives whether it is. */
  readonly wait: (fd: number) => boolean;
  /** Told of the bytes that have been allocated since it was last told. */
  readonly step: (bytes: number) => void;
}

interface Part {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

/** Parts of files in the order in which they are taken: of each file the first, then of each the second. */
export function partsOf(files: readonly Pick<HugePageFile, "number" | "size" | "pageBytes">[]): Part[] {
  const parts: Part[] = [];
  const longest = Math.max(0, ...files.map(({ size }) => size));
  const [first] = files;
  const most = Math.max(PART_LENGTH, first?.pageBytes ?? 0);
  for (let offset = 0; offset < longest; offset += most) {
    for (const { number, size } of files) {
      if (offset < size) parts.push({ fd: number, offset, length: Math.min(most, size - offset) });
    }
  }
  return parts;
}

/**
 * Allocates files, whole. @param groups files of one page size each, in the order in which they are begun. Gives false,
 * with nothing done, where no thread can be made. Throws SyscallError as HugePageFile.allocate does, and what the watch
 * throws.
 */
export function fillTogether(
  system: System,
  groups: readonly (readonly HugePageFile[])[],
  threads: number,
  watch: Watch,
): boolean {
  using owned = new DisposableStack();
  const parts = groups.flatMap(partsOf);
  const table = tableOf(system, parts, owned);
  const code = executable(system, fillCode());
  owned.defer(() => unmap(system, code, CODE_BYTES));
  const reading = throughPipe(system, table, owned);
  using team = new Team(system, table);
  const args = () => `[${parts.length} parts], ${threads} threads`;
  for (let i = 0; i < Math.min(threads, parts.length); i++) if (!team.add(code)) break;
  if (team.size === 0) return false;
  let told = 0;
  const tell = () => {
    const done = Number(Atomics.load(table.words, HEAD.done));
    watch.step(done - told);
    told = done;
  };
  const bytes = new Uint8Array(64);
  for (let through = 0; through < team.size; tell()) {
    if (watch.wait(reading)) through += Math.max(0, readSome(system, reading, bytes));
  }
  team.end();
  const failure = -Number(Atomics.load(table.words, HEAD.failure));
  system.trace.call?.("fallocate", args(), failure === 0 ? 0 : -1, failure === 0 ? undefined : failure);
  if (failure !== 0) throw new SyscallError("fallocate", failure, "");
  return true;
}

interface Table {
  readonly address: number;
  readonly words: BigInt64Array;
}

/** Lays the table out in memory that stays where it is. */
function tableOf(system: System, parts: readonly Part[], owned: DisposableStack): Table {
  const length = HEAD_BYTES + PART_BYTES * parts.length;
  const address = mapZeros(system, length);
  owned.defer(() => unmap(system, address, length));
  const { buffer, byteOffset } = viewOf(address, length);
  const words = new BigInt64Array(buffer, byteOffset, length / 8);
  words[HEAD.parts] = BigInt(parts.length);
  parts.forEach(({ fd, offset, length }, i) => {
    words.set([BigInt(fd), BigInt(offset), BigInt(length)], (HEAD_BYTES + PART_BYTES * i) / 8);
  });
  return { address, words };
}

/** The pipe by which threads say that they are through: gives the descriptor to read from. */
function throughPipe(system: System, table: Table, owned: DisposableStack): number {
  const ends = new Uint8Array(8);
  const view = new DataView(ends.buffer);
  const made = system.libc.pipe2(ends, O_NONBLOCK | O_CLOEXEC);
  const [reading, writing] = [view.getInt32(0, true), view.getInt32(4, true)];
  checked(system, "pipe2", made, () => `[${reading}, ${writing}], O_NONBLOCK|O_CLOEXEC`, "");
  owned.use(new Fd(system, reading));
  owned.use(new Fd(system, writing));
  table.words[HEAD.through] = BigInt(writing);
  return reading;
}

/** Threads that have begun; the end of it stops them and waits for the last. */
class Team implements Disposable {
  readonly #threads: bigint[] = [];

  constructor(
    private readonly system: System,
    private readonly table: Table,
  ) {}

  get size(): number {
    return this.#threads.length;
  }

  /** Makes one more thread; gives whether that could be done. */
  add(code: number): boolean {
    const id = new BigUint64Array(1);
    const { pthread_create } = this.system.libc.memoryCalls;
    const errno = pthread_create(id, null, code, this.table.address);
    const args = `…, NULL, ${hex(code)}, ${hex(this.table.address)}`;
    this.system.trace.call?.("pthread_create", args, errno === 0 ? 0 : -1, errno === 0 ? undefined : errno);
    if (errno === 0) this.#threads.push(id[0] ?? 0n);
    return errno === 0;
  }

  /** Waits for all of them. */
  end(): void {
    const { pthread_join } = this.system.libc.memoryCalls;
    for (const thread of this.#threads.splice(0)) pthread_join(thread, null);
  }

  [Symbol.dispose](): void {
    Atomics.store(this.table.words, HEAD.stop, 1n);
    this.end();
  }
}
