/** Huge pages: an anonymous file of them, mapped, filled in ascending order, given back at the end of scope. */

import { SyscallError } from "./failure.ts";
import { Fd } from "./files.ts";
import { cString, viewOf } from "./libc.ts";
import { ERRNO } from "./linux/errno.ts";
import {
  MAP_SHARED,
  MFD_CLOEXEC,
  MFD_HUGE_1GB,
  MFD_HUGE_2MB,
  MFD_HUGETLB,
  PROT_READ,
  PROT_WRITE,
} from "./linux/mman.ts";
import { checked, type System } from "./system.ts";
import { flagNames, hex, quoted } from "./trace.ts";

/** The size of the pages that are asked for by name: the default one differs (16 and 64 KiB arm64 kernels). */
export const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** The other size that the driver takes and that is worth asking for: each page is one region. */
export const GIANT_PAGE_BYTES = 1024 * 1024 * 1024;

const MEMFD_FLAGS = { MFD_CLOEXEC, MFD_HUGETLB, MFD_HUGE_1GB, MFD_HUGE_2MB };

/** A mapping with one owner. `bytes` dies with it. */
export class Mapping implements Disposable {
  #mapped = true;

  constructor(
    private readonly system: System,
    /** Address of the first byte. */
    readonly start: number,
    /** Bytes. */
    readonly size: number,
  ) {}

  /** A view of `length` bytes from `offset` on, without a copy. */
  view(offset: number, length: number): Uint8Array {
    if (offset < 0 || length < 0 || offset + length > this.size) throw new RangeError("outside the mapping");
    return viewOf(this.start + offset, length);
  }

  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    checked(
      this.system,
      "munmap",
      this.system.libc.munmap(this.start, this.size),
      () => `${hex(this.start)}, ${this.size}`,
      "",
    );
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

/**
 * Maps `size` bytes of huge pages, shared, from an anonymous file, all of them allocated from the first to the
 * last: the driver then meets long ascending runs. fallocate(2) does that and answers with an error where a
 * page cannot be had, in place of the SIGBUS of a first touch; every kernel since 4.3 has it for huge pages.
 * @param size bytes, a multiple of `pageBytes`, which is HUGE_PAGE_BYTES or GIANT_PAGE_BYTES. Throws SyscallError.
 */
export function mapHugePages(system: System, size: number, pageBytes = HUGE_PAGE_BYTES): Mapping {
  const { libc } = system;
  const name = cString("nitro-enclave");
  const flags = MFD_CLOEXEC | MFD_HUGETLB | (pageBytes === GIANT_PAGE_BYTES ? MFD_HUGE_1GB : MFD_HUGE_2MB);
  const number = libc.memfd_create(name, flags);
  const args = () => `${quoted("nitro-enclave")}, ${flagNames(flags, MEMFD_FLAGS)}`;
  // The mapping keeps the file: its descriptor is needed no longer than this function.
  using file = new Fd(system, checked(system, "memfd_create", number, args, ""));
  checked(
    system,
    "ftruncate",
    libc.ftruncate(file.number, size),
    () => `${file.number}, ${size}`,
    "the huge page file",
  );
  const start = Number(libc.mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0));
  const mmapArgs = () => `NULL, ${size}, PROT_READ|PROT_WRITE, MAP_SHARED, ${file.number}, 0`;
  const mapping = new Mapping(system, checked(system, "mmap", start, mmapArgs, ""), size);
  try {
    allocate(system, file, size);
  } catch (error) {
    mapping.unmap();
    throw error;
  }
  return mapping;
}

/** fallocate(2) of the whole file, begun anew where a signal interrupts it. */
function allocate(system: System, file: Fd, size: number): void {
  for (;;) {
    const result = system.libc.fallocate(file.number, 0, 0, size);
    try {
      checked(system, "fallocate", result, () => `${file.number}, 0, 0, ${size}`, "");
      return;
    } catch (error) {
      if (!(error instanceof SyscallError && error.errno === ERRNO.EINTR)) throw error;
    }
  }
}
