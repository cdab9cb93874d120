/** Anonymous files of huge pages, allocated in chunks and mapped at ascending addresses. */

import { SyscallError } from "./errors.ts";
import { Fd } from "./files.ts";
import { cString, viewOf } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import { MFD_CLOEXEC, MFD_HUGE_SHIFT, MFD_HUGETLB } from "./linux/memfd.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from "./linux/mman.ts";
import { UIO_MAXIOV } from "./linux/uio.ts";
import { checked, type System } from "./system.ts";
import { flagNames, hex, quoted } from "./trace.ts";

/** 2 MiB. Requested by size, because the default size differs on arm64 kernels with pages of 16 or 64 KiB. */
export const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** 1 GiB. */
export const GIGANTIC_PAGE_BYTES = 1024 * 1024 * 1024;

const MEMFD_FLAGS = MFD_CLOEXEC | MFD_HUGETLB;
const MEMFD_NAME = "nitro-enclave";

/** Size of a view onto the mapping. */
const WINDOW_BYTES = GIGANTIC_PAGE_BYTES;

/** A mapping with one owner; disposal unmaps it. */
export class Mapping implements Disposable {
  #mapped = true;
  #window: { readonly at: number; readonly bytes: Uint8Array } | undefined;

  constructor(
    private readonly system: System,
    /** Address of the first byte. */
    readonly start: number,
    /** Bytes. */
    readonly size: number,
  ) {}

  /**
   * Returns a view of `length` bytes at `offset`, without a copy. Views are parts of one large view, because the
   * engine counts the bytes of each new view as its own heap and would collect garbage more often.
   */
  view(offset: number, length: number): Uint8Array {
    if (offset < 0 || length < 0 || offset + length > this.size) throw new RangeError("outside the mapping");
    const window = Math.floor(offset / WINDOW_BYTES) * WINDOW_BYTES;
    if (offset + length > window + WINDOW_BYTES) return viewOf(this.start + offset, length);
    if (this.#window?.at !== window) {
      const size = Math.min(WINDOW_BYTES, this.size - window);
      this.#window = { at: window, bytes: viewOf(this.start + window, size) };
    }
    return this.#window.bytes.subarray(offset - window, offset - window + length);
  }

  /**
   * Puts the pages of a range into the page table: preadv(2) copies a byte of a file of zeros into each page. A touch
   * would raise SIGBUS where a page is missing; this returns an error. Throws SyscallError.
   */
  populate(offset: number, length: number, pageBytes: number, zeros: HugePageFile): void {
    const { system } = this;
    for (let done = 0; done < length / pageBytes; ) {
      const count = Math.min(UIO_MAXIOV, length / pageBytes - done);
      const first = this.start + offset + done * pageBytes;
      const vector = new BigUint64Array(2 * count);
      for (let i = 0; i < count; i++) {
        vector[2 * i] = BigInt(first + i * pageBytes);
        vector[2 * i + 1] = 1n;
      }
      const got = Number(system.libc.preadv(zeros.number, vector, count, 0));
      const args = () => `${zeros.number}, [{${hex(first)}, 1}, …], ${count}, 0`;
      // A short read stops at the page that is missing; the next call then fails with its error.
      const put = checked(system, "preadv", got, { args });
      if (put === 0) throw new RangeError("the file of zeros is empty");
      done += put;
    }
  }

  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    // The engine counts the bytes of the view as heap while it exists.
    this.#window = undefined;
    unmap(this.system, this.start, this.size);
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

/** An anonymous file of huge pages of one size. Its pages stay allocated while it is open or mapped. */
export class HugePageFile implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly fd: Fd,
    /** A power of two, at least HUGE_PAGE_BYTES. */
    readonly pageBytes: number,
    /** In bytes, a multiple of the page size. */
    readonly size: number,
  ) {}

  /** Creates the file with memfd_create(2) and sets its size; no page is allocated. Throws SyscallError. */
  static create(system: System, pageBytes: number, size: number): HugePageFile {
    const { libc } = system;
    using stack = new DisposableStack();
    const name = cString(MEMFD_NAME);
    const log2 = Math.log2(pageBytes);
    // Not <<: the logarithm of 4 GiB and more needs bit 31, which would make the result negative.
    const number = libc.memfd_create(name, MEMFD_FLAGS + log2 * 2 ** MFD_HUGE_SHIFT);
    const args = () => {
      const flags = flagNames(MEMFD_FLAGS, { MFD_CLOEXEC, MFD_HUGETLB });
      return `${quoted(MEMFD_NAME)}, ${flags}|${log2}<<MFD_HUGE_SHIFT`;
    };
    const fd = stack.use(new Fd(system, checked(system, "memfd_create", number, { args })));
    const sized = libc.ftruncate(fd.number, size);
    checked(system, "ftruncate", sized, {
      args: () => `${fd.number}, ${size}`,
      subject: "the huge page file",
    });
    stack.move();
    return new HugePageFile(system, fd, pageBytes, size);
  }

  get number(): number {
    return this.fd.number;
  }

  /**
   * Allocates and zeroes pages in ascending order, which makes long contiguous runs. fallocate(2) (Linux 4.3) returns
   * an error where a page is missing, instead of a SIGBUS at the first access. Restarted after EINTR. Throws
   * SyscallError.
   */
  allocate(offset: number, length: number): void {
    for (;;) {
      const result = this.system.libc.fallocate(this.number, 0, offset, length);
      try {
        checked(this.system, "fallocate", result, { args: () => `${this.number}, 0, ${offset}, ${length}` });
        return;
      } catch (error) {
        if (!(error instanceof SyscallError && error.errno === ERRNO.EINTR)) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}

/** A range of a file, in bytes, whole pages. */
export interface FileRange {
  readonly file: HugePageFile;
  readonly offset: number;
  readonly length: number;
}

/** Returns the range of a whole file. */
export function wholeFileRange(file: HugePageFile): FileRange {
  return { file, offset: 0, length: file.size };
}

/**
 * Maps ranges of files one after another, shared; those of larger pages come first. A first mapping reserves the
 * pages: ENOMEM means that there are not enough. Throws SyscallError and leaves nothing mapped.
 */
export function mapRanges(system: System, ranges: readonly FileRange[]): Mapping {
  const [first, ...others] = ranges;
  if (first === undefined) throw new RangeError("no range to map");
  if (others.length === 0) {
    const start = mapAt(system, 0, MAP_SHARED, first);
    return new Mapping(system, start, first.length);
  }
  let size = 0;
  for (const { length } of ranges) size += length;
  using stack = new DisposableStack();
  const mapping = stack.use(reserve(system, size, first.file.pageBytes));
  let at = mapping.start;
  for (const range of ranges) {
    mapAt(system, at, MAP_SHARED | MAP_FIXED, range);
    at += range.length;
  }
  stack.move();
  return mapping;
}

/** mmap(2) of a range; address 0 leaves the place to the kernel. */
function mapAt(system: System, address: number, flags: number, { file, offset, length }: FileRange): number {
  const access = PROT_READ | PROT_WRITE;
  const start = Number(system.libc.mmap(address, length, access, flags, file.number, offset));
  const args = () =>
    `${address === 0 ? "NULL" : hex(address)}, ${length}, PROT_READ|PROT_WRITE, ` +
    `${flagNames(flags, { MAP_SHARED, MAP_FIXED })}, ${file.number}, ${offset}`;
  return checked(system, "mmap", start, { args });
}

/** Reserves an address range that starts at a multiple of `alignment` bytes. */
function reserve(system: System, size: number, alignment: number): Mapping {
  const all = size + alignment;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const start = Number(system.libc.mmap(0, all, PROT_NONE, flags, -1, 0));
  const args = () => `NULL, ${all}, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0`;
  checked(system, "mmap", start, { args });
  const aligned = Math.ceil(start / alignment) * alignment;
  if (aligned > start) unmap(system, start, aligned - start);
  if (aligned < start + alignment) unmap(system, aligned + size, start + alignment - aligned);
  return new Mapping(system, aligned, size);
}

/** munmap(2). Throws SyscallError. */
export function unmap(system: System, start: number, size: number): void {
  checked(system, "munmap", system.libc.munmap(start, size), { args: () => `${hex(start)}, ${size}` });
}
