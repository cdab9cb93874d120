/** Thread pools: results and failures of calls, and files that several threads read. */

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KERNEL_ARCHITECTURE } from "../../../src/sys/architecture.ts";
import { Fd, openFile } from "../../../src/sys/files.ts";
import { viewOf } from "../../../src/sys/libc.ts";
import { O_RDONLY } from "../../../src/sys/linux/fcntl.ts";
import { PROT_NONE } from "../../../src/sys/linux/mman.ts";
import { SYSCALLS } from "../../../src/sys/linux/unistd.ts";
import { unmap } from "../../../src/sys/memory.ts";
import { openSystem, type System } from "../../../src/sys/system.ts";
import { type ThreadCall, ThreadPool } from "../../../src/sys/threads/pool.ts";
import { ReadThreads } from "../../../src/sys/threads/read.ts";
import { mapZeros } from "../../../src/sys/threads/routines.ts";

const MIB = 2 ** 20;
const system = openSystem();
const directory = mkdtempSync(join(tmpdir(), "thread-pool-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Creates a file of this size whose content does not repeat. */
function fileOf(name: string, size: number): { path: string; bytes: Uint8Array } {
  const values = new Uint32Array(Math.ceil(size / 4)).map((_, i) => Math.imul(i, 2_654_435_761));
  const bytes = new Uint8Array(values.buffer, 0, size);
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return { path, bytes };
}

/** Maps memory to read into; disposal unmaps it. */
function memory(size: number): { address: number; view: Uint8Array } & Disposable {
  const address = mapZeros(system, size);
  return { address, view: viewOf(address, size), [Symbol.dispose]: () => unmap(system, address, size) };
}

function waitForAll(pool: ThreadPool): void {
  while (!pool.finished) Bun.sleepSync(1);
}

describe("ThreadPool", () => {
  const number = SYSCALLS.pread64[KERNEL_ARCHITECTURE];

  test.each([1, 3])("ThreadPool: %d threads store each call's result and count its bytes", (threads) => {
    const { path, bytes } = fileOf("results", 10_000);
    using fd = openFile(system, path, O_RDONLY);
    using target = memory(12_000);
    const calls = Array.from({ length: 12 }, (_, i): ThreadCall => {
      const args = [fd.number, target.address + 1000 * i, 1000, 1000 * i] as const;
      return { number, args, bytes: 1000 };
    });
    using pool = ThreadPool.start(system, calls, threads);
    if (pool === undefined) throw new Error("no threads");
    waitForAll(pool);
    expect(calls.map((_, i) => pool.result(i))).toEqual([...Array(10).fill(1000), 0, 0]);
    expect([pool.done, pool.failure, pool.claim()]).toEqual([12_000, 0, undefined]);
    expect(Buffer.compare(target.view.subarray(0, 10_000), bytes)).toBe(0);
  });

  test("ThreadPool: threads stop after a failed call and store its errno", () => {
    using target = memory(4096);
    const bad: ThreadCall = { number, args: [-1, target.address, 1, 0], bytes: 1 };
    using pool = ThreadPool.start(system, Array<ThreadCall>(1000).fill(bad), 2);
    if (pool === undefined) throw new Error("no threads");
    waitForAll(pool);
    expect([pool.failure, pool.done, pool.result(0)]).toEqual([9, 0, undefined]);
    expect(pool.claim()).toBeDefined();
  });

  test("ThreadPool: start returns undefined if no thread can be created", () => {
    const call: ThreadCall = { number, args: [-1, 0, 0, 0], bytes: 1 };
    expect(ThreadPool.start(without("pthread_create"), [call], 2)).toBeUndefined();
  });
});

/** A system in which a call that the pool needs fails. */
function without(name: "pthread_create" | "pipe2"): System {
  const failing = () => (name === "pipe2" ? -1 : 11);
  const memoryCalls = new Proxy(system.libc.memoryCalls, {
    get: (calls, key) => (key === name ? failing : Reflect.get(calls, key)),
  });
  const pipe2 = name === "pipe2" ? Object.assign(failing, system.libc.pipe2) : system.libc.pipe2;
  return { ...system, libc: { ...system.libc, memoryCalls, pipe2 } };
}

describe("ReadThreads", () => {
  const size = 37 * MIB + 123;
  const whole = fileOf("whole", size);

  function read(path: string, length: number, each?: (offset: number) => void, where = system) {
    using fd = openFile(system, path, O_RDONLY);
    const target = memory(length);
    const chunks: [offset: number, length: number, got: number][] = [];
    const file = { fd, path, size: length, to: target.address };
    using reading = ReadThreads.start(where, [file]);
    reading?.finish(file, (...chunk) => {
      chunks.push(chunk);
      each?.(chunk[0]);
    });
    return { done: reading !== undefined, chunks, target };
  }

  const several = navigator.hardwareConcurrency > 1;

  test.skipIf(!several)(
    "ReadThreads: read a whole file, chunks in ascending order (skipped with one CPU)",
    () => {
      const { done, chunks, target } = read(whole.path, size);
      using _ = target;
      expect(done).toBe(true);
      expect(chunks.map(([offset]) => offset)).toEqual(Array.from({ length: 19 }, (_, i) => i * 2 * MIB));
      expect(chunks.reduce((sum, [, , got]) => sum + got, 0)).toBe(size);
      expect(Buffer.compare(target.view, whole.bytes)).toBe(0);
    },
  );

  test.skipIf(!several)("ReadThreads: report short reads of a truncated file (skipped with one CPU)", () => {
    const { path } = fileOf("short", size);
    truncateSync(path, 35 * MIB);
    const { chunks, target } = read(path, size);
    using _ = target;
    expect(chunks.slice(16).map(([, length, got]) => [length / MIB, got / MIB])).toEqual([
      [2, 2],
      [2, 1],
      [1 + 123 / MIB, 0],
    ]);
  });

  test("ReadThreads: stop if the callback throws", () => {
    const stop = () =>
      read(whole.path, size, () => {
        throw new Error("cancelled");
      });
    if (several) expect(stop).toThrow("cancelled");
    else expect(stop().done).toBe(false);
  });

  test("ReadThreads: report 0 bytes for a chunk that cannot be read, and finish", () => {
    // The last chunk is not writable; four CPUs, so three threads run next to this one.
    using target = memory(38 * MIB);
    expect(system.libc.mprotect(target.address + 36 * MIB, 2 * MIB, PROT_NONE)).toBe(0);
    const { syscall } = system.libc;
    const counting: typeof syscall = Object.assign((...args: Parameters<typeof syscall>) => {
      const got = syscall(...args);
      viewOf(Number(args[3]), 1)[0] = 0b1111;
      return got;
    }, syscall);
    const many: System = { ...system, libc: { ...system.libc, syscall: counting } };
    using fd = openFile(system, whole.path, O_RDONLY);
    const file = { fd, path: whole.path, size, to: target.address };
    for (let i = 0; i < 40; i++) {
      const chunks: [offset: number, length: number, got: number][] = [];
      using threads = ReadThreads.start(many, [file]);
      threads?.finish(file, (...chunk) => void chunks.push(chunk));
      expect(chunks.at(-1)).toEqual([36 * MIB, MIB + 123, 0]);
      expect(chunks.map(([offset]) => offset)).toEqual(Array.from({ length: 19 }, (_, k) => k * 2 * MIB));
      for (const [offset, length, got] of chunks) {
        expect([0, length]).toContain(got);
        const [read, right] = [target.view, whole.bytes].map((all) => all.subarray(offset, offset + got));
        expect(Buffer.compare(read ?? target.view, right ?? whole.bytes)).toBe(0);
      }
    }
  });

  test.skipIf(!several)(
    "ReadThreads: read several files, finished one after another (skipped with one CPU)",
    () => {
      const sizes = [5 * MIB + 1, 3, 2 * MIB, 9 * MIB];
      const files = sizes.map((length, i) => fileOf(`file${i}`, length));
      using stack = new DisposableStack();
      const readings = files.map(({ path, bytes: { length } }) => {
        const fd = stack.use(openFile(system, path, O_RDONLY));
        const target = stack.use(memory(length));
        return { reading: { fd, path, size: length, to: target.address }, target };
      });
      using threads = ReadThreads.start(
        system,
        readings.map(({ reading }) => reading),
      );
      const lengths = readings.map(({ reading }) => {
        const chunks: number[] = [];
        threads?.finish(reading, (_offset, length, got) => void chunks.push(length, got));
        return chunks.map((bytes) => bytes / MIB);
      });
      const third = 1 + 1 / MIB;
      expect(lengths).toEqual([
        [2, 2, 2, 2, third, third],
        [3 / MIB, 3 / MIB],
        [2, 2],
        [2, 2, 2, 2, 2, 2, 2, 2, 1, 1],
      ]);
      const same = readings.map(({ target }, i) =>
        Buffer.compare(target.view, files[i]?.bytes ?? new Uint8Array()),
      );
      expect(same).toEqual([0, 0, 0, 0]);
      expect(() => threads?.finish({ ...whole, fd: new Fd(system, -1), size, to: 1 }, () => {})).toThrow(
        RangeError,
      );
    },
  );

  test.each(["pthread_create", "pipe2"] as const)(
    "ReadThreads: start returns undefined if %s fails",
    (name) => {
      const { done, chunks, target } = read(whole.path, size, undefined, without(name));
      using _ = target;
      expect([done, chunks]).toEqual([false, []]);
    },
  );

  test("ReadThreads: start returns undefined for a small file", () => {
    const { done, chunks, target } = read(whole.path, MIB);
    using _ = target;
    expect([done, chunks]).toEqual([false, []]);
  });
});
