/**
 * Allocates files of huge pages by several threads at once, which is zeroing: where there is much of it, a single
 * processor is slower than the memory. One thread at a time can allocate in a file, so each takes the next part of
 * another file. The threads are gone when this returns, however it does.
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
  const number = NR_FALLOCATE[KERNEL_ARCHITECTURE];
  const calls = groups
    .flatMap(partsOf)
    .map(({ fd, offset, length }): ThreadCall => ({ number, args: [fd, 0, offset, length], bytes: length }));
  using team = CallThreads.begin(system, calls, threads);
  if (team === undefined) return false;
  let told = 0;
  const tell = () => {
    const { done } = team;
    watch.step(done - told);
    told = done;
  };
  do {
    watch.wait(team.fd);
    tell();
  } while (!team.over);
  tell();
  const { failure } = team;
  const args = `[${calls.length} parts], ${threads} threads`;
  system.trace.call?.("fallocate", args, failure === 0 ? 0 : -1, failure === 0 ? undefined : failure);
  if (failure !== 0) throw new SyscallError("fallocate", failure, "");
  return true;
}
