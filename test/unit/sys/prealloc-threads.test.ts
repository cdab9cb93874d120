import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { SyscallError } from "../../../src/sys/errors.ts";
import { HugePageFile } from "../../../src/sys/memory.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import {
  type PreallocCallbacks,
  PreallocThreads,
  preallocChunks,
} from "../../../src/sys/threads/prealloc.ts";
import { fakeLibc } from "./fake-libc.ts";

const MIB = 2 ** 20;

test("preallocChunks: takes a chunk of each file in turn, smaller towards the end", () => {
  const file = (name: string, size: number) => ({ name, size: size * MIB, pageBytes: 2 * MIB });
  const chunks = preallocChunks([file("a", 16), file("b", 2), file("c", 6)]);
  expect(chunks.map(({ file: { name }, offset, length }) => [name, offset / MIB, length / MIB])).toEqual([
    ["a", 0, 4],
    ["b", 0, 2],
    ["c", 0, 2],
    ["a", 4, 4],
    ["c", 2, 2],
    ["a", 8, 2],
    ["c", 4, 2],
    ["a", 10, 2],
    ["a", 12, 2],
    ["a", 14, 2],
  ]);
  const large = preallocChunks([file("a", 200)]).map(({ length }) => length / MIB);
  expect(large).toEqual([32, 32, 32, 26, 20, 16, 12, 8, 6, 4, 4, 2, 2, 2, 2]);
  const gigantic = preallocChunks([{ size: 2 * 2 ** 30, pageBytes: 2 ** 30 }]);
  expect(gigantic.map(({ length }) => length)).toEqual([2 ** 30, 2 ** 30]);
  expect(preallocChunks([])).toEqual([]);
});

/** A system whose files have pages of the base size; `held` lists the open descriptors and mappings. */
function ordinary(held = new Set<string>(), allocates: (bytes: number) => void = () => {}): System {
  const { libc } = openSystem();
  return fakeLibc({
    pipe2: (ends, flags) => {
      if (!(ends instanceof Uint8Array)) throw new Error("pipe2 expects a buffer");
      const created = libc.pipe2(ends, Number(flags));
      for (const end of new Int32Array(ends.buffer)) held.add(`descriptor ${end}`);
      return created;
    },
    close: (fd) => {
      held.delete(`descriptor ${fd}`);
      return libc.close(Number(fd));
    },
    mmap: (...args) => {
      const [at = 0, length = 0, access = 0, flags = 0, fd = 0, offset = 0] = args.map(Number);
      const start = Number(libc.mmap(at, length, access, flags, fd, offset));
      held.add(`${length} bytes at ${start}`);
      return start;
    },
    munmap: (start, length) => {
      held.delete(`${length} bytes at ${start}`);
      return libc.munmap(Number(start), Number(length));
    },
    fallocate: (fd, mode, offset, length) => {
      allocates(Number(length));
      return libc.fallocate(Number(fd), Number(mode), Number(offset), Number(length));
    },
    memfd_create: (name) => {
      if (!(name instanceof Uint8Array)) throw new Error("memfd_create expects a name");
      return libc.memfd_create(name, 1);
    },
  });
}

const files = (system: System, owner: DisposableStack, ...mib: number[]) =>
  mib.map((each) => owner.use(HugePageFile.create(system, 2 * MIB, each * MIB)));

/** A file of one large page. */
const onePage = (system: System, owner: DisposableStack, mib: number) =>
  owner.use(HugePageFile.create(system, mib * MIB, mib * MIB));

/** Returns the allocated size of a file in bytes. */
function allocated(file: HugePageFile): number {
  const BLOCK_BYTES = 512; // stat(2): st_blocks
  return statSync(`/proc/self/fd/${file.number}`).blocks * BLOCK_BYTES;
}

function watching(system: System, steps: number[]): PreallocCallbacks {
  const pollfd = new Uint8Array(8);
  return {
    wait(fd) {
      new DataView(pollfd.buffer).setInt32(0, fd, true);
      new DataView(pollfd.buffer).setInt16(4, 1, true);
      return system.libc.poll(pollfd, 1, 1000) === 1;
    },
    step: (bytes) => steps.push(bytes),
  };
}

/** Waits for the allocation and stops the threads. */
function finished(threads: PreallocThreads | undefined, watch: PreallocCallbacks): void {
  if (threads === undefined) throw new Error("no threads");
  using _ = threads;
  threads.finish(watch);
}

describe("PreallocThreads", () => {
  test.each([1, 2, 5])(
    "PreallocThreads: %d threads allocate and report every byte, and release their resources",
    (count) => {
      const held = new Set<string>();
      const system = ordinary(held);
      using owner = new DisposableStack();
      const groups = [files(system, owner, 40, 70), files(system, owner, 2, 2, 34)];
      const steps: number[] = [];
      finished(PreallocThreads.start(system, groups, count), watching(system, steps));
      expect(groups.flat().map((file) => allocated(file) / MIB)).toEqual([40, 70, 2, 2, 34]);
      expect(steps.reduce((sum, bytes) => sum + bytes, 0)).toBe(148 * MIB);
      expect([...held]).toEqual([]);
    },
  );

  test("PreallocThreads: throws the error of a failed call and stops", () => {
    const system = ordinary();
    using owner = new DisposableStack();
    const [good, bad] = files(system, owner, 64, 64);
    if (good === undefined || bad === undefined) throw new Error("no files");
    bad[Symbol.dispose]();
    let caught: unknown;
    try {
      finished(PreallocThreads.start(system, [[bad, good]], 2), watching(system, []));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SyscallError);
    expect(caught).toMatchObject({ call: "fallocate", errno: 9 });
  });

  test("PreallocThreads: the waiting thread allocates as well", () => {
    const own: number[] = [];
    const system = ordinary(new Set(), (bytes) => own.push(bytes / MIB));
    using owner = new DisposableStack();
    const group = files(system, owner, 256, 256);
    const steps: number[] = [];
    finished(PreallocThreads.start(system, [group], 2), watching(system, steps));
    expect(group.map((file) => allocated(file) / MIB)).toEqual([256, 256]);
    expect(steps.reduce((sum, bytes) => sum + bytes, 0)).toBe(512 * MIB);
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(preallocChunks(group).length);
  });

  test.each(["step", "wait"] as const)(
    "PreallocThreads: the threads are joined before an exception of the callback %s is thrown",
    (name) => {
      const held = new Set<string>();
      const system = ordinary(held);
      using owner = new DisposableStack();
      // The waiting thread calls `wait` only when no chunk is left: one large page takes long enough.
      const group = name === "step" ? files(system, owner, 512, 512) : [onePage(system, owner, 512)];
      const stop = () => {
        throw new Error("cancelled");
      };
      const threads = PreallocThreads.start(system, [group], 2);
      if (name === "wait") while (group.every((file) => allocated(file) === 0)) Bun.sleepSync(1);
      expect(() => finished(threads, { wait: () => true, step() {}, [name]: stop })).toThrow("cancelled");
      expect([...held]).toEqual([]);
      const before = group.map(allocated);
      Bun.sleepSync(20);
      expect(group.map(allocated)).toEqual(before);
    },
  );

  test("PreallocThreads: start returns undefined if no thread can be created", () => {
    const real = ordinary();
    const memoryCalls = new Proxy(real.libc.memoryCalls, {
      get: (calls, name) => (name === "pthread_create" ? () => 11 : Reflect.get(calls, name)),
    });
    const system: System = { ...real, libc: { ...real.libc, memoryCalls } };
    using owner = new DisposableStack();
    const group = files(system, owner, 4, 4);
    expect(PreallocThreads.start(system, [group], 2)).toBeUndefined();
    expect(group.map(allocated)).toEqual([0, 0]);
  });
});
