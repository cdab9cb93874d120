/**
 * Physical addresses of pages, from /proc/self/pagemap, which needs CAP_SYS_ADMIN and shows 0 otherwise
 * (Documentation/admin-guide/mm/pagemap.rst). An entry has 64 bits for each page of the base size: bits 0 to 54 are
 * the frame number, bit 63 says whether the page is present.
 */
import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { SyscallError } from "./errors.ts";
import { type Fd, openFile, readSome } from "./files.ts";
import { addressOf } from "./libc.ts";
import { AT_PAGESZ } from "./linux/auxvec.ts";
import { O_RDONLY } from "./linux/fcntl.ts";
import { resultOrErrno, type System } from "./system.ts";

const PATH = "/proc/self/pagemap";
const ENTRY_BYTES = 8;
/** Bytes per read: the entries of 16 pages of 2 MiB. */
const MOST_BYTES = 64 * 1024;

/** The page map of this process. */
export class PageMap implements Disposable {
  private constructor(
    private readonly system: System,
    private readonly fd: Fd,
    private readonly basePageBytes: number,
  ) {}

  /** Opens the page map; undefined if that is not permitted. */
  static open(system: System): PageMap | undefined {
    try {
      using stack = new DisposableStack();
      const map = new PageMap(system, stack.use(openFile(system, PATH, O_RDONLY)), basePageBytes(system));
      stack.move();
      return map;
    } catch (error) {
      if (error instanceof SyscallError) return undefined;
      throw error;
    }
  }

  /** Whether the kernel shows frame numbers to this process. Checked with a page that is certainly present. */
  showsFrames(): boolean {
    const present = new Uint8Array(1).fill(1);
    return this.addresses(addressOf(present), this.basePageBytes, 1) !== undefined;
  }

  /**
   * Returns the physical addresses of consecutive pages; undefined if one is not visible. @param start address of the
   * first page. @param pageBytes size of a page. @param pages number of pages.
   */
  addresses(start: number, pageBytes: number, pages: number): Float64Array | undefined {
    // Each huge page has many entries, of which one is needed. Up to 64 KiB per read it is faster to read all of them
    // than to read page by page: less than 2 microseconds a page.
    const perPage = (pageBytes / this.basePageBytes) * ENTRY_BYTES;
    const atOnce = Math.max(1, Math.min(pages, Math.floor(MOST_BYTES / perPage)));
    const entries = new Uint8Array(atOnce === 1 ? ENTRY_BYTES : atOnce * perPage);
    const fields = new Uint32Array(entries.buffer);
    const first = Math.floor(start / this.basePageBytes) * ENTRY_BYTES;
    const found = new Float64Array(pages);
    for (let page = 0; page < pages; page += atOnce) {
      const count = Math.min(atOnce, pages - page);
      const length = atOnce === 1 ? ENTRY_BYTES : count * perPage;
      const got = this.read(entries, length, first + page * perPage);
      if (got !== length) return undefined;
      for (let i = 0; i < count; i++) {
        const at = (i * perPage) / 4;
        const [low = 0, high = 0] = [fields[at], fields[at + 1]];
        const frame = (high & 0x7f_ffff) * 2 ** 32 + low;
        if (high < 2 ** 31 || frame === 0) return undefined;
        found[page + i] = frame * this.basePageBytes;
      }
    }
    return found;
  }

  private read(into: Uint8Array, length: number, offset: number): number {
    const { number } = this.fd;
    const got = Number(this.system.libc.pread(number, addressOf(into), length, offset));
    return resultOrErrno(this.system, "pread", got, () => `${number}, …, ${length}, ${offset}`);
  }

  [Symbol.dispose](): void {
    this.fd.close();
  }
}

/** Returns the base page size in bytes: 4 KiB on x86_64; 4, 16 or 64 KiB on arm64. Throws SyscallError. */
export function basePageBytes(system: System): number {
  if (KERNEL_ARCHITECTURE === "x86_64") return 4096;
  using fd = openFile(system, "/proc/self/auxv", O_RDONLY);
  const bytes = new Uint8Array(4096);
  const got = readSome(system, fd.number, bytes);
  const fields = new BigUint64Array(bytes.buffer, 0, Math.max(got, 0) >> 3);
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === AT_PAGESZ) return Number(fields[i + 1]);
  return 4096;
}
