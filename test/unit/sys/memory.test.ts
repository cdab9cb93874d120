import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { SyscallError } from "../../../src/sys/errors.ts";
import {
  GIGANTIC_PAGE_BYTES,
  HUGE_PAGE_BYTES,
  HugePageFile,
  Mapping,
  mapRanges,
  wholeFileRange,
} from "../../../src/sys/memory.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const SIZE = 4 * HUGE_PAGE_BYTES;

/** A kernel with free huge pages, which records the calls; the call `failing` fails with `errno`. */
function withPages(failing?: string, errno = 12): { system: System; calls: string[] } {
  const calls: string[] = [];
  const answer = (name: string, result: number, ...args: unknown[]) => {
    calls.push(args.length === 0 ? name : `${name} ${args.join(" ")}`);
    return name === failing ? -1 : result;
  };
  const system = fakeLibc({
    memfd_create: (_name, flags) => answer("memfd_create", 50, `0x${Number(flags).toString(16)}`),
    ftruncate: (fd, length) => answer("ftruncate", 0, fd, length),
    mmap: (_address, length, protection, flags) => answer("mmap", 0x7f0000000000, length, protection, flags),
    fallocate: (_fd, mode, offset, length) => answer("fallocate", 0, mode, offset, length),
    munmap: (_address, length) => answer("munmap", 0, length),
    close: (fd) => answer("close", 0, fd),
    errno: () => errno,
  });
  return { system, calls };
}

/** A file of huge pages, mapped and allocated as in a launch. */
function allocated(system: System, pageBytes = HUGE_PAGE_BYTES): Mapping {
  using file = HugePageFile.create(system, pageBytes, SIZE);
  using stack = new DisposableStack();
  const mapping = stack.use(mapRanges(system, [wholeFileRange(file)]));
  file.allocate(0, SIZE);
  stack.move();
  return mapping;
}

describe("huge pages", () => {
  test("huge pages: are requested by size, mapped shared, and allocated in ascending order", () => {
    const { system, calls } = withPages();
    const mapping = allocated(system);
    expect(mapping.start).toBe(0x7f0000000000);
    expect(mapping.size).toBe(SIZE);
    expect(calls).toEqual([
      "memfd_create 0x54000005",
      `ftruncate 50 ${SIZE}`,
      `mmap ${SIZE} 3 1`,
      `fallocate 0 0 ${SIZE}`,
      "close 50",
    ]);
  });

  test.each([
    ["2 MiB", HUGE_PAGE_BYTES, 21],
    ["32 MiB", 2 ** 25, 25],
    ["512 MiB", 2 ** 29, 29],
    ["1 GiB", GIGANTIC_PAGE_BYTES, 30],
    ["16 GiB", 2 ** 34, 34],
  ])("huge pages: those of %s are requested by the logarithm of their size", (_, pageBytes, log2) => {
    const { system, calls } = withPages();
    allocated(system, pageBytes);
    const number = Number(calls[0]?.split(" ")[1]);
    expect([number % 2 ** 26, Math.floor(number / 2 ** 26)]).toEqual([5, log2]);
  });

  test.each([
    ["memfd_create", []],
    ["ftruncate", ["close 50"]],
    ["mmap", ["close 50"]],
    ["fallocate", [`munmap ${SIZE}`, "close 50"]],
  ])("huge pages: are released if %s fails", (call, after) => {
    const { system, calls } = withPages(call);
    expect(() => allocated(system)).toThrow(SyscallError);
    const at = calls.findIndex((line) => line.startsWith(call));
    expect(calls.slice(at + 1)).toEqual(after);
  });

  test("huge pages: the allocation is restarted after EINTR", () => {
    let tries = 0;
    const fallocate = () => (++tries < 3 ? -1 : 0);
    const interrupted = fakeLibc({
      memfd_create: () => 50,
      ftruncate: () => 0,
      mmap: () => 0x7f0000000000,
      close: () => 0,
      fallocate,
      errno: () => 4,
    });
    expect(allocated(interrupted).size).toBe(SIZE);
    expect(tries).toBe(3);
  });

  test("huge pages: are unmapped once", () => {
    const { system, calls } = withPages();
    {
      using mapping = allocated(system);
      mapping.unmap();
    }
    expect(calls.filter((line) => line.startsWith("munmap"))).toEqual([`munmap ${SIZE}`]);
  });
});

/** A kernel that maps at the requested address, or at `free`; the mapping with the number `failing` fails. */
function placing(free: number, failing?: number): { system: System; calls: string[] } {
  const calls: string[] = [];
  let mappings = 0;
  const system = fakeLibc({
    memfd_create: () => 50,
    ftruncate: () => 0,
    mmap: (address, length, protection, flags, fd, offset) => {
      mappings += 1;
      const start = Number(address) === 0 ? free : Number(address);
      calls.push(`mmap ${[start, length, protection, flags, fd, offset].map(Number).map(hex).join(" ")}`);
      return mappings === failing ? -1 : start;
    },
    munmap: (address, length) => {
      calls.push(`munmap ${hex(Number(address))} ${hex(Number(length))}`);
      return 0;
    },
    close: () => 0,
    errno: () => 12,
  });
  return { system, calls };
}

const hex = (value: number) => value.toString(16);

describe("mapRanges", () => {
  const page = HUGE_PAGE_BYTES;

  test("mapRanges: maps ranges one after another in a reserved address range, larger pages first", () => {
    const { system, calls } = placing(0x7f0000200000);
    const gigantic = HugePageFile.create(system, GIGANTIC_PAGE_BYTES, GIGANTIC_PAGE_BYTES);
    const huge = HugePageFile.create(system, page, 3 * page);
    const mapping = mapRanges(system, [
      wholeFileRange(gigantic),
      { file: huge, offset: 2 * page, length: page },
      { file: huge, offset: 0, length: 2 * page },
    ]);
    expect([mapping.start, mapping.size].map(hex)).toEqual(["7f0040000000", "40600000"]);
    expect(calls).toEqual([
      "mmap 7f0000200000 80600000 0 4022 -1 0",
      "munmap 7f0000200000 3fe00000",
      "munmap 7f0080600000 200000",
      "mmap 7f0040000000 40000000 3 11 32 0",
      "mmap 7f0080000000 200000 3 11 32 400000",
      "mmap 7f0080200000 400000 3 11 32 0",
    ]);
  });

  test("mapRanges: unmaps everything if a range cannot be mapped", () => {
    const { system, calls } = placing(0x7f0000200000, 3);
    const file = HugePageFile.create(system, page, 2 * page);
    const ranges = [page, 0].map((offset) => ({ file, offset, length: page }));
    expect(() => mapRanges(system, ranges)).toThrow(SyscallError);
    expect(calls).toEqual([
      "mmap 7f0000200000 600000 0 4022 -1 0",
      "munmap 7f0000600000 200000",
      "mmap 7f0000200000 200000 3 11 32 200000",
      "mmap 7f0000400000 200000 3 11 32 0",
      "munmap 7f0000200000 400000",
    ]);
  });
});

/** Returns the resident size of the mapping at an address in KiB, from /proc/self/smaps. */
function residentKib(start: number): number {
  const from = readFileSync("/proc/self/smaps", "utf8").split(`${start.toString(16)}-`)[1] ?? "";
  return Number(/^Rss:\s+(\d+) kB$/m.exec(from)?.[1]);
}

describe("Mapping.populate", () => {
  const zeros = 9;
  /** A preadv that behaves as the kernel's, with missing pages; it records the addresses. */
  const putting = (missing: readonly number[] = []) => {
    const calls: { fd: unknown; offset: unknown; addresses: number[] }[] = [];
    const system = fakeLibc({
      memfd_create: () => zeros,
      ftruncate: () => 0,
      close: () => 0,
      preadv: (fd, vector, count, offset) => {
        if (!(vector instanceof BigUint64Array)) throw new Error("preadv expects a vector");
        const rows = Array.from({ length: Number(count) }, (_, i) => [vector[2 * i], vector[2 * i + 1]]);
        expect(rows.map(([, length]) => length)).toEqual(rows.map(() => 1n));
        const addresses = rows.map(([address]) => Number(address));
        calls.push({ fd, offset, addresses });
        const missingAt = addresses.findIndex((place) => missing.includes(place));
        return missingAt < 0 ? addresses.length : missingAt === 0 ? -1 : missingAt;
      },
      errno: () => 14,
    });
    return { system, calls, file: HugePageFile.create(system, HUGE_PAGE_BYTES, SIZE) };
  };
  /** A file of pages of the base size, because the machine may have no huge pages. */
  const ofSmallPages = () => {
    const { libc } = openSystem();
    const system = fakeLibc({ memfd_create: (name) => libc.memfd_create(name as Uint8Array, 1) });
    return HugePageFile.create(system, HUGE_PAGE_BYTES, SIZE);
  };
  const START = 0x7f0000000000;
  const addressesOf = (first: number, pages: number) =>
    Array.from({ length: pages }, (_, i) => START + (first + i) * HUGE_PAGE_BYTES);

  test("Mapping.populate: reads a zero into each page with one call", () => {
    const { system, calls, file } = putting();
    const mapping = new Mapping(system, START, SIZE);
    mapping.populate(HUGE_PAGE_BYTES, 2 * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, file);
    expect(calls).toEqual([{ fd: zeros, offset: 0, addresses: addressesOf(1, 2) }]);
  });

  test("Mapping.populate: makes one call for each 1024 pages", () => {
    const { system, calls, file } = putting();
    const mapping = new Mapping(system, START, 2050 * HUGE_PAGE_BYTES);
    mapping.populate(0, 2050 * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, file);
    expect(calls.map(({ addresses }) => addresses.length)).toEqual([1024, 1024, 2]);
    expect(calls.flatMap(({ addresses }) => addresses)).toEqual(addressesOf(0, 2050));
  });

  test("Mapping.populate: throws instead of raising SIGBUS if a page is missing", () => {
    const { system, calls, file } = putting(addressesOf(2, 1));
    const mapping = new Mapping(system, START, SIZE);
    expect(() => mapping.populate(0, SIZE, HUGE_PAGE_BYTES, file)).toThrow("preadv: Bad address (EFAULT)");
    expect(calls.map(({ addresses }) => addresses)).toEqual([addressesOf(0, 4), addressesOf(2, 2)]);
  });

  test("Mapping.populate: makes pages resident and zero (real kernel)", () => {
    using file = ofSmallPages();
    using mapping = mapRanges(openSystem(), [wholeFileRange(file)]);
    expect(residentKib(mapping.start)).toBe(0);
    mapping.populate(0, SIZE, HUGE_PAGE_BYTES, file);
    expect(residentKib(mapping.start)).toBeGreaterThanOrEqual(4 * 4);
    const firsts = [0, 1, 2, 3].map((page) => mapping.view(page * HUGE_PAGE_BYTES, 1)[0]);
    expect(firsts).toEqual([0, 0, 0, 0]);
  });

  test("Mapping.populate: throws if the file was truncated (real kernel)", () => {
    using file = ofSmallPages();
    const system = openSystem();
    using mapping = mapRanges(system, [wholeFileRange(file)]);
    expect(system.libc.ftruncate(file.number, HUGE_PAGE_BYTES)).toBe(0);
    expect(() => mapping.populate(0, SIZE, HUGE_PAGE_BYTES, file)).toThrow(SyscallError);
  });
});

describe("Mapping.view", () => {
  const { libc } = openSystem();
  const mapped = Number(libc.mmap(0, 8192, 3, 0x22, -1, 0));

  test("Mapping.view: shows the memory without a copy, and only within the mapping", () => {
    using mapping = new Mapping(openSystem(), mapped, 8192);
    mapping.view(4096, 4).set([1, 2, 3, 4]);
    expect([...mapping.view(4094, 6)]).toEqual([0, 0, 1, 2, 3, 4]);
    expect(mapping.view(8192, 0).length).toBe(0);
    expect(() => mapping.view(8190, 3)).toThrow("outside the mapping");
    expect(() => mapping.view(-1, 3)).toThrow("outside the mapping");
  });
});
