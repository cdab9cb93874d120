/**
 * Allocates files of huge pages by several threads at once, which is zeroing: where there is much of it, a single
 * processor is slower than the memory. One thread at a time can allocate in a file, so each takes the next part of
 * another file. They work while their owner does something else, and are gone when it disposes of them.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { CallThreads, type ThreadCall } from "./call-threads.ts";
import { SyscallError } from "./failure.ts";
import { NR_FALLOCATE } from "./linux/fcntl.ts";
import type { HugePageFile } from "./memory.ts";
import type { System } from "./system.ts";

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

/** Files that are being allocated, whole; the end of it stops the threads and waits for the last. */
export class FillThreads implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly team: CallThreads,
    /** For the trace. */
    private readonly args: string,
  ) {}

  /**
   * Begins. @param groups files of one page size each, in the order in which they are begun. Gives undefined, with
   * nothing done, where no thread can be made. Throws SyscallError.
   */
  static begin(
    system: System,
    groups: readonly (readonly HugePageFile[])[],
    threads: number,
  ): FillThreads | undefined {
    const number = NR_FALLOCATE[KERNEL_ARCHITECTURE];
    const calls = groups
      .flatMap(partsOf)
      .map(
        ({ fd, offset, length }): ThreadCall => ({ number, args: [fd, 0, offset, length], bytes: length }),
      );
    const team = CallThreads.begin(system, calls, threads);
    const args = `[${calls.length} parts], ${threads} threads`;
    return team === undefined ? undefined : new FillThreads(system, team, args);
  }

  /** Waits for all of it. Throws SyscallError as HugePageFile.allocate does, and what the watch throws. */
  finish(watch: Watch): void {
    const { system, team, args } = this;
    let told = 0;
    const tell = () => {
      const { done } = team;
      watch.step(done - told);
      told = done;
    };
    while (!team.over) {
      watch.wait(team.fd);
      tell();
    }
    tell();
    const { failure } = team;
    system.trace.call?.("fallocate", args, failure === 0 ? 0 : -1, failure === 0 ? undefined : failure);
    this[Symbol.dispose]();
    if (failure !== 0) throw new SyscallError("fallocate", failure, "");
  }

  [Symbol.dispose](): void {
    this.team[Symbol.dispose]();
  }
}
