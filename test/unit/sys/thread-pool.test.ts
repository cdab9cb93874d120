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
const directory = mkdtempSync(join(tmpdir(), "call-threads-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Creates a file of this size whose content does not repeat. */
function fileOf(name: string, size: number): { path: string; bytes: Uint8Array } {
  const words = new Uint32Array(Math.ceil(size / 4)).map((_, i) => Math.imul(i, 2_654_435_761));
  const bytes = new Uint8Array(words.buffer, 0, size);
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return { path, bytes };
}

/** Memory to read into, and what of it is given back. */
function memory(size: number): { address: number; view: Uint8Array } & Disposable {
  const address = mapZeros(system, size);
  return { address, view: viewOf(address, size), [Symbol.dispose]: () => unmap(system, address, size) };
}

function waitForAll(pool: ThreadPool): void {
  while (!pool.finished) Bun.sleepSync(1);
}

describe("threads that make calls", () => {
  const number = SYSCALLS.pread64[KERNEL_ARCHITECTURE];

  test.each([1, 3])("%d give each call's own result, and count what is done", (threads) => {
    const { path, bytes } = fileOf("results", 10_000);
    using fd = openFile(system, path, O_RDONLY);
    using room = memory(12_000);
    const calls = Array.from({ length: 12 }, (_, i): ThreadCall => {
      const args = [fd.number, room.address + 1000 * i, 1000, 1000 * i] as const;
      return { number, args, bytes: 1000 };
    });
    using pool = ThreadPool.start(system, calls, threads);
    if (pool === undefined) throw new Error("no threads");
    waitForAll(pool);
    expect(calls.map((_, i) => pool.result(i))).toEqual([...Array(10).fill(1000), 0, 0]);
    expect([pool.done, pool.failure, pool.claim()]).toEqual([12_000, 0, undefined]);
    expect(Buffer.compare(room.view.subarray(0, 10_000), bytes)).toBe(0);
  });

  test("tell the errno of one that fails, and make no more", () => {
    using room = memory(4096);
    const bad: ThreadCall = { number, args: [-1, room.address, 1, 0], bytes: 1 };
    using pool = ThreadPool.start(system, Array<ThreadCall>(1000).fill(bad), 2);
    if (pool === undefined) throw new Error("no threads");
    waitForAll(pool);
    expect([pool.failure, pool.done, pool.result(0)]).toEqual([9, 0, undefined]);
    expect(pool.claim()).toBeDefined();
  });

  test("are none where none can be made, and nothing is left", () => {
    const call: ThreadCall = { number, args: [-1, 0, 0, 0], bytes: 1 };
    expect(ThreadPool.start(without("pthread_create"), [call], 2)).toBeUndefined();
  });
});

/** A system without one of the calls that threads need. */
function without(name: "pthread_create" | "pipe2"): System {
  const failing = () => (name === "pipe2" ? -1 : 11);
  const memoryCalls = new Proxy(system.libc.memoryCalls, {
    get: (calls, key) => (key === name ? failing : Reflect.get(calls, key)),
  });
  const pipe2 = name === "pipe2" ? Object.assign(failing, system.libc.pipe2) : system.libc.pipe2;
  return { ...system, libc: { ...system.libc, memoryCalls, pipe2 } };
}

describe("a file that is read by several", () => {
  const size = 37 * MIB + 123;
  const whole = fileOf("whole", size);

  function read(path: string, length: number, each?: (offset: number) => void, where = system) {
    using fd = openFile(system, path, O_RDONLY);
    const room = memory(length);
    const parts: [offset: number, length: number, got: number][] = [];
    const file = { fd, path, size: length, to: room.address };
    using reading = ReadThreads.start(where, [file]);
    reading?.finish(file, (...part) => {
      parts.push(part);
      each?.(part[0]);
    });
    return { done: reading !== undefined, parts, room };
  }

  const several = navigator.hardwareConcurrency > 1;

  test.skipIf(!several)("is whole, its parts in their order (skipped with one CPU)", () => {
    const { done, parts, room } = read(whole.path, size);
    using _ = room;
    expect(done).toBe(true);
    expect(parts.map(([offset]) => offset)).toEqual(Array.from({ length: 19 }, (_, i) => i * 2 * MIB));
    expect(parts.reduce((sum, [, , got]) => sum + got, 0)).toBe(size);
    expect(Buffer.compare(room.view, whole.bytes)).toBe(0);
  });

  test.skipIf(!several)("tells where it has become shorter (skipped with one CPU)", () => {
    const { path } = fileOf("short", size);
    truncateSync(path, 35 * MIB);
    const { parts, room } = read(path, size);
    using _ = room;
    expect(parts.slice(16).map(([, length, got]) => [length / MIB, got / MIB])).toEqual([
      [2, 2],
      [2, 1],
      [1 + 123 / MIB, 0],
    ]);
  });

  test("ends at once where its reader throws", () => {
    const stop = () =>
      read(whole.path, size, () => {
        throw new Error("stopped");
      });
    if (several) expect(stop).toThrow("stopped");
    else expect(stop().done).toBe(false);
  });

  test("of which a part cannot be read ends all the same, that part being left to who wants it", () => {
    // Room for all but the last part, which may not be written, and CPUs for three threads beside this one.
    using room = memory(38 * MIB);
    expect(system.libc.mprotect(room.address + 36 * MIB, 2 * MIB, PROT_NONE)).toBe(0);
    const { syscall } = system.libc;
    const counting: typeof syscall = Object.assign((...args: Parameters<typeof syscall>) => {
      const got = syscall(...args);
      viewOf(Number(args[3]), 1)[0] = 0b1111;
      return got;
    }, syscall);
    const many: System = { ...system, libc: { ...system.libc, syscall: counting } };
    using fd = openFile(system, whole.path, O_RDONLY);
    const file = { fd, path: whole.path, size, to: room.address };
    for (let i = 0; i < 40; i++) {
      const parts: [offset: number, length: number, got: number][] = [];
      using begun = ReadThreads.start(many, [file]);
      begun?.finish(file, (...part) => void parts.push(part));
      expect(parts.at(-1)).toEqual([36 * MIB, MIB + 123, 0]);
      expect(parts.map(([offset]) => offset)).toEqual(Array.from({ length: 19 }, (_, k) => k * 2 * MIB));
      for (const [offset, length, got] of parts) {
        expect([0, length]).toContain(got);
        const [read, right] = [room.view, whole.bytes].map((all) => all.subarray(offset, offset + got));
        expect(Buffer.compare(read ?? room.view, right ?? whole.bytes)).toBe(0);
      }
    }
  });

  test.skipIf(!several)("may be one of more, each finished in its turn (skipped with one CPU)", () => {
    const sizes = [5 * MIB + 1, 3, 2 * MIB, 9 * MIB];
    const files = sizes.map((length, i) => fileOf(`file${i}`, length));
    using stack = new DisposableStack();
    const readings = files.map(({ path, bytes: { length } }) => {
      const fd = stack.use(openFile(system, path, O_RDONLY));
      const room = stack.use(memory(length));
      return { reading: { fd, path, size: length, to: room.address }, room };
    });
    using begun = ReadThreads.start(
      system,
      readings.map(({ reading }) => reading),
    );
    const lengths = readings.map(({ reading }) => {
      const parts: number[] = [];
      begun?.finish(reading, (_offset, length, got) => void parts.push(length, got));
      return parts.map((bytes) => bytes / MIB);
    });
    const third = 1 + 1 / MIB;
    expect(lengths).toEqual([
      [2, 2, 2, 2, third, third],
      [3 / MIB, 3 / MIB],
      [2, 2],
      [2, 2, 2, 2, 2, 2, 2, 2, 1, 1],
    ]);
    const same = readings.map(({ room }, i) =>
      Buffer.compare(room.view, files[i]?.bytes ?? new Uint8Array()),
    );
    expect(same).toEqual([0, 0, 0, 0]);
    expect(() => begun?.finish({ ...whole, fd: new Fd(system, -1), size, to: 1 }, () => {})).toThrow(
      RangeError,
    );
  });

  test.each(["pthread_create", "pipe2"] as const)("is left to its reader where %s fails", (name) => {
    const { done, parts, room } = read(whole.path, size, undefined, without(name));
    using _ = room;
    expect([done, parts]).toEqual([false, []]);
  });

  test("is left to others where it is small", () => {
    const { done, parts, room } = read(whole.path, MIB);
    using _ = room;
    expect([done, parts]).toEqual([false, []]);
  });
});
