import { describe, expect, test } from "bun:test";
import {
  type AllocationOptions,
  type PendingAllocation,
  startAllocation,
} from "../../../src/launch/memory/allocate-memory.ts";
import { viewOf } from "../../../src/sys/libc.ts";
import { PageMap } from "../../../src/sys/page-map.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { fakeLibc } from "../sys/fake-libc.ts";

const PAGE = 2 ** 21;
const MAP_FIXED = 0x10;
/** Bytes of the page map per page of 2 MiB. */
const ENTRY_BYTES_PER_PAGE = (8 * PAGE) / 4096;

interface Machine {
  readonly system: System;
  /** The MAP_FIXED mappings in order: offset in the file and length, both in pages. */
  readonly fixedMappings: [number, number][];
  /** Lengths of the existing mappings, by address. */
  readonly mapped: Map<number, number>;
}

/**
 * A machine with files of ordinary memory instead of huge pages. @param frames what its page map shows, in units of
 * 2 MiB and in the order of the mapping. @param failing index of the MAP_FIXED mapping that fails.
 */
function machine(frames: readonly number[], failing = Number.POSITIVE_INFINITY): Machine {
  const { libc } = openSystem();
  const fixedMappings: [number, number][] = [];
  const mapped = new Map<number, number>();
  let first: number | undefined;
  const system = fakeLibc({
    memfd_create: (name) => {
      if (!(name instanceof Uint8Array)) throw new Error("memfd_create without a name");
      return libc.memfd_create(name, 1);
    },
    mmap: (...args) => {
      const [at = 0, length = 0, access = 0, flags = 0, fd = 0, offset = 0] = args.map(Number);
      if ((flags & MAP_FIXED) !== 0) {
        if (fixedMappings.length === failing) return -1;
        fixedMappings.push([offset / PAGE, length / PAGE]);
      }
      const start = Number(libc.mmap(at, length, access, flags, fd, offset));
      if ((flags & MAP_FIXED) === 0) mapped.set(start, length);
      return start;
    },
    munmap: (start, length) => {
      const whole = mapped.get(Number(start));
      if (whole === Number(length)) mapped.delete(Number(start));
      else if (whole !== undefined) {
        mapped.delete(Number(start));
        mapped.set(Number(start) + Number(length), whole - Number(length));
      } else
        for (const [at, size] of mapped)
          if (at < Number(start)) mapped.set(at, Math.min(size, Number(start) - at));
      return libc.munmap(Number(start), Number(length));
    },
    pread: (_fd, address, length, offset) => {
      first ??= Number(offset);
      const firstPage = (Number(offset) - first) / ENTRY_BYTES_PER_PAGE;
      const entries = new BigUint64Array(
        viewOf(Number(address), Number(length)).buffer,
        0,
        Number(length) / 8,
      );
      for (let i = 0; i < entries.length; i += PAGE / 4096) {
        entries[i] = (1n << 63n) | BigInt(((frames[firstPage + i / (PAGE / 4096)] ?? 0) * PAGE) / 4096);
      }
      return Number(length);
    },
    errno: () => 12,
  });
  return { system, fixedMappings, mapped };
}

function start({ system }: Machine, pages: number, more: Partial<AllocationOptions> = {}): PendingAllocation {
  const plan = { bytes: pages * PAGE, typed: "-m", node: undefined, ranges: [{ pageBytes: PAGE, pages }] };
  const callbacks = { wait: () => true, step() {} };
  const defaults = { plan, pageMap: undefined, prealloc: undefined, mappingsAllowed: () => true, callbacks };
  return startAllocation(system, { ...defaults, ...more });
}

function allocate(host: Machine, pages: number, more: Partial<AllocationOptions> = {}) {
  using pageMap = PageMap.open(host.system);
  return start(host, pages, { pageMap, ...more }).finish();
}

/** Returns the sizes of the existing mappings, in pages. */
function sizes({ mapped }: Machine): number[] {
  return [...mapped.values()].map((bytes) => bytes / PAGE);
}

describe("physical order", () => {
  test("physical order: keeps the mapping of pages that are in order", () => {
    const host = machine([10, 11, 12, 20]);
    using memory = allocate(host, 4);
    expect(memory.regions).toBe(2);
    expect(host.fixedMappings).toEqual([]);
  });

  test("physical order: maps pages that are out of order again, run by run, and unmaps the first mapping", () => {
    const host = machine([30, 12, 13, 31, 11, 10]);
    using memory = allocate(host, 6);
    expect(memory.regions).toBe(2);
    expect(host.fixedMappings).toEqual([
      [5, 1],
      [4, 1],
      [1, 2],
      [0, 1],
      [3, 1],
    ]);
    expect(memory.mapping.size).toBe(6 * PAGE);
    expect(memory.donations).toEqual([{ address: memory.mapping.start, length: 6 * PAGE, pageBytes: PAGE }]);
    memory[Symbol.dispose]();
    expect(sizes(host)).toEqual([]);
  });

  test.each([0, 3])("physical order: keeps the first mapping if mapping %d fails", (failing) => {
    const host = machine([13, 12, 11, 10], failing);
    using memory = allocate(host, 4);
    expect(memory.regions).toBe(4);
    memory.mapping.view(0, 4 * PAGE).fill(1);
    memory[Symbol.dispose]();
    expect(sizes(host)).toEqual([]);
  });

  test("physical order: keeps the first mapping if the new one needs too many mappings", () => {
    const host = machine([13, 12, 11, 10]);
    using memory = allocate(host, 4, { mappingsAllowed: (mappings) => mappings <= 3 });
    expect([memory.regions, host.fixedMappings]).toEqual([4, []]);
  });

  test("physical order: keeps the first mapping if the saved regions are not worth the mappings", () => {
    // In descending order, so that each page needs its own mapping; only two of them can share a region.
    const descending = (pages: number) =>
      Array.from({ length: pages }, (_, i) => (i < 2 ? 1000 - i : 900 - 3 * i));
    using memory = allocate(machine(descending(40)), 40);
    expect(memory.regions).toBe(40);
    using many = allocate(machine(descending(66)), 66);
    expect(many.regions).toBe(65);
  });

  test("physical order: regions are not counted if an address is hidden or not a multiple of the page size", () => {
    using odd = allocate(machine([10, 10.5]), 2);
    expect(odd.regions).toBeUndefined();
    using oddFirst = allocate(machine([10.5, 11]), 2);
    expect(oddFirst.regions).toBeUndefined();
    using hidden = allocate(machine([10, 0]), 2);
    expect(hidden.regions).toBeUndefined();
    using closed = allocate(machine([10, 11]), 2, { pageMap: undefined });
    expect(closed.regions).toBeUndefined();
  });
});

test("physical order: sorts the pages of several files together", () => {
  const host = machine([11, 21, 10, 20, 12]);
  const calls: number[] = [];
  const prealloc = {
    filesFor: () => 2,
    start: (groups: readonly (readonly { size: number }[])[]) => {
      for (const files of groups) for (const { size } of files) calls.push(size / PAGE);
      return { finish: () => void calls.push(0), [Symbol.dispose]: () => void calls.push(-1) };
    },
  };
  using memory = allocate(host, 5, { prealloc });
  expect(calls).toEqual([3, 2, 0]);
  expect(memory.regions).toBe(2);
  // Files of 3 and 2 pages: the mapping has pages 0, 1, 2 of the first and 0, 1 of the second.
  expect(host.fixedMappings.slice(2)).toEqual([
    [2, 1],
    [0, 1],
    [1, 1],
    [0, 1],
    [1, 1],
  ]);
  memory[Symbol.dispose]();
  expect(calls).toEqual([3, 2, 0, -1]);
  expect(sizes(host)).toEqual([]);
});

test("allocation: the calling thread allocates the memory if no other can be created", () => {
  const host = machine([10, 11]);
  const steps: number[] = [];
  const prealloc = { filesFor: () => 2, start: () => undefined };
  const callbacks = { wait: () => true, step: (bytes: number) => void steps.push(bytes / PAGE) };
  using memory = allocate(host, 2, { prealloc, callbacks });
  expect(steps).toEqual([1, 1]);
  expect(memory.regions).toBe(1);
});

describe("pending allocation", () => {
  function failingThreads(done: string[]) {
    const preallocation = {
      finish: () => {
        throw new Error("cancelled");
      },
      [Symbol.dispose]: () => void done.push("threads stopped"),
    };
    return { filesFor: () => 2, start: () => preallocation };
  }

  test("pending allocation: disposal releases everything, the threads first", () => {
    const host = machine([10, 11]);
    const done: string[] = [];
    const memory = start(host, 2, { prealloc: failingThreads(done) });
    expect([sizes(host), done]).toEqual([[2], []]);
    memory[Symbol.dispose]();
    expect([sizes(host), done]).toEqual([[], ["threads stopped"]]);
  });

  test("pending allocation: a finish() that throws releases everything", () => {
    const host = machine([10, 11]);
    const done: string[] = [];
    using memory = start(host, 2, { prealloc: failingThreads(done) });
    expect(() => memory.finish()).toThrow("cancelled");
    expect([sizes(host), done]).toEqual([[], ["threads stopped"]]);
  });
});
