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
/** Bytes that a page has in the page map. */
const ENTRIES_OF_PAGE = (8 * PAGE) / 4096;

interface Machine {
  readonly system: System;
  /** Places in the file, in pages, that were mapped at an address that was said, and how many pages each. */
  readonly placed: [number, number][];
  /** Lengths of mappings that are there, by address. */
  readonly mapped: Map<number, number>;
}

/**
 * A machine with files of ordinary memory in place of huge pages, whose page map tells frames of pages of 2 MiB in the
 * order of the mapping. @param failing the mapping of that number at an address that was said fails.
 */
function machine(frames: readonly number[], failing = Number.POSITIVE_INFINITY): Machine {
  const { libc } = openSystem();
  const placed: [number, number][] = [];
  const mapped = new Map<number, number>();
  let first: number | undefined;
  const system = fakeLibc({
    memfd_create: (name) => {
      if (!(name instanceof Uint8Array)) throw new Error("memfd_create wants a name");
      return libc.memfd_create(name, 1);
    },
    mmap: (...args) => {
      const [at = 0, length = 0, access = 0, flags = 0, fd = 0, offset = 0] = args.map(Number);
      if ((flags & MAP_FIXED) !== 0) {
        if (placed.length === failing) return -1;
        placed.push([offset / PAGE, length / PAGE]);
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
      const told = (Number(offset) - first) / ENTRIES_OF_PAGE;
      const entries = new BigUint64Array(
        viewOf(Number(address), Number(length)).buffer,
        0,
        Number(length) / 8,
      );
      for (let i = 0; i < entries.length; i += PAGE / 4096) {
        entries[i] = (1n << 63n) | BigInt(((frames[told + i / (PAGE / 4096)] ?? 0) * PAGE) / 4096);
      }
      return Number(length);
    },
    errno: () => 12,
  });
  return { system, placed, mapped };
}

function begun({ system }: Machine, pages: number, more: Partial<AllocationOptions> = {}): PendingAllocation {
  const plan = { bytes: pages * PAGE, typed: "-m", node: undefined, ranges: [{ pageBytes: PAGE, pages }] };
  const callbacks = { wait: () => true, step() {} };
  const given = {
    plan,
    pageMap: undefined,
    prealloc: undefined,
    mappingsAllowed: () => true,
    callbacks,
    ...more,
  };
  return startAllocation(system, given);
}

function prepared(host: Machine, pages: number, more: Partial<AllocationOptions> = {}) {
  using pageMap = PageMap.open(host.system);
  return begun(host, pages, { pageMap, ...more }).finish();
}

/** The bytes of a mapping that are present. */
function sizes({ mapped }: Machine): number[] {
  return [...mapped.values()].map((bytes) => bytes / PAGE);
}

describe("pages", () => {
  test("in order stay as they are", () => {
    const host = machine([10, 11, 12, 20]);
    using memory = prepared(host, 4);
    expect(memory.regions).toBe(2);
    expect(host.placed).toEqual([]);
  });

  test("out of order are mapped again, runs at once, and the first mapping goes", () => {
    const host = machine([30, 12, 13, 31, 11, 10]);
    using memory = prepared(host, 6);
    expect(memory.regions).toBe(2);
    expect(host.placed).toEqual([
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

  test.each([0, 3])("stay as they are where mapping %d cannot be had", (failing) => {
    const host = machine([13, 12, 11, 10], failing);
    using memory = prepared(host, 4);
    expect(memory.regions).toBe(4);
    memory.mapping.view(0, 4 * PAGE).fill(1);
    memory[Symbol.dispose]();
    expect(sizes(host)).toEqual([]);
  });

  test("stay as they are where there may be no so many mappings", () => {
    const host = machine([13, 12, 11, 10]);
    using memory = prepared(host, 4, { mappingsAllowed: (mappings) => mappings <= 3 });
    expect([memory.regions, host.placed]).toEqual([4, []]);
  });

  test("stay as they are where a region or two less is not worth the mappings", () => {
    // Turned round, so that each page would be mapped for itself; two of them would be one region.
    const turned = (pages: number) =>
      Array.from({ length: pages }, (_, i) => (i < 2 ? 1000 - i : 900 - 3 * i));
    using memory = prepared(machine(turned(40)), 40);
    expect(memory.regions).toBe(40);
    using many = prepared(machine(turned(66)), 66);
    expect(many.regions).toBe(65);
  });

  test("that have another size, or are not visible, have no number of regions", () => {
    using odd = prepared(machine([10, 10.5]), 2);
    expect(odd.regions).toBeUndefined();
    using oddFirst = prepared(machine([10.5, 11]), 2);
    expect(oddFirst.regions).toBeUndefined();
    using untold = prepared(machine([10, 0]), 2);
    expect(untold.regions).toBeUndefined();
    using closed = prepared(machine([10, 11]), 2, { pageMap: undefined });
    expect(closed.regions).toBeUndefined();
  });
});

test("the memory of several files is put in order over all of them", () => {
  const host = machine([11, 21, 10, 20, 12]);
  const filled: number[] = [];
  const prealloc = {
    filesFor: () => 2,
    start: (groups: readonly (readonly { size: number }[])[]) => {
      for (const files of groups) for (const { size } of files) filled.push(size / PAGE);
      return { finish: () => void filled.push(0), [Symbol.dispose]: () => void filled.push(-1) };
    },
  };
  using memory = prepared(host, 5, { prealloc });
  expect(filled).toEqual([3, 2, 0]);
  expect(memory.regions).toBe(2);
  // Files of 3 and 2 pages: the places of the mapping are 0, 1, 2 of the one and 0, 1 of the other.
  expect(host.placed.slice(2)).toEqual([
    [2, 1],
    [0, 1],
    [1, 1],
    [0, 1],
    [1, 1],
  ]);
  memory[Symbol.dispose]();
  expect(filled).toEqual([3, 2, 0, -1]);
  expect(sizes(host)).toEqual([]);
});

test("a memory for which no thread can be had is filled by this one", () => {
  const host = machine([10, 11]);
  const steps: number[] = [];
  const prealloc = { filesFor: () => 2, start: () => undefined };
  const callbacks = { wait: () => true, step: (bytes: number) => void steps.push(bytes / PAGE) };
  using memory = prepared(host, 2, { prealloc, callbacks });
  expect(steps).toEqual([1, 1]);
  expect(memory.regions).toBe(1);
});

describe("memory that has been begun", () => {
  function threads(done: string[]) {
    const filling = {
      finish: () => {
        throw new Error("stopped");
      },
      [Symbol.dispose]: () => void done.push("over"),
    };
    return { filesFor: () => 2, start: () => filling };
  }

  test("is released, its threads first, if it is not finished", () => {
    const host = machine([10, 11]);
    const done: string[] = [];
    const memory = begun(host, 2, { prealloc: threads(done) });
    expect([sizes(host), done]).toEqual([[2], []]);
    memory[Symbol.dispose]();
    expect([sizes(host), done]).toEqual([[], ["over"]]);
  });

  test("is given back where its end fails", () => {
    const host = machine([10, 11]);
    const done: string[] = [];
    using memory = begun(host, 2, { prealloc: threads(done) });
    expect(() => memory.finish()).toThrow("stopped");
    expect([sizes(host), done]).toEqual([[], ["over"]]);
  });
});
