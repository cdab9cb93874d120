import { describe, expect, test } from "bun:test";
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

test("parts are taken of each file in turn", () => {
  const file = (name: string, size: number) => ({ name, size: size * MIB, pageBytes: 2 * MIB });
  const parts = preallocChunks([file("a", 16), file("b", 2), file("c", 6)]);
  expect(parts.map(({ file: { name }, offset, length }) => [name, offset / MIB, length / MIB])).toEqual([
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
  const giant = preallocChunks([{ size: 2 * 2 ** 30, pageBytes: 2 ** 30 }]);
  expect(giant.map(({ length }) => length)).toEqual([2 ** 30, 2 ** 30]);
  expect(preallocChunks([])).toEqual([]);
});

/** A machine whose files are of ordinary memory, and have no page size to be asked for; it notes what is held. */
function ordinary(held = new Set<string>(), allocates: (bytes: number) => void = () => {}): System {
  const { libc } = openSystem();
  return fakeLibc({
    pipe2: (ends, flags) => {
      if (!(ends instanceof Uint8Array)) throw new Error("pipe2 wants a buffer");
      const made = libc.pipe2(ends, Number(flags));
      for (const end of new Int32Array(ends.buffer)) held.add(`descriptor ${end}`);
      return made;
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
      if (!(name instanceof Uint8Array)) throw new Error("memfd_create wants a name");
      return libc.memfd_create(name, 1);
    },
  });
}

const files = (system: System, owner: DisposableStack, ...mib: number[]) =>
  mib.map((each) => owner.use(HugePageFile.create(system, 2 * MIB, each * MIB)));

/** A file of one large page. */
const giant = (system: System, owner: DisposableStack, mib: number) =>
  owner.use(HugePageFile.create(system, mib * MIB, mib * MIB));

/** What is allocated of a file, in bytes. */
function allocated(file: HugePageFile): number {
  const { stdout } = Bun.spawnSync(["stat", "-Lc", "%b %B", `/proc/${process.pid}/fd/${file.number}`]);
  const [blocks = 0, bytes = 0] = stdout.toString().split(" ").map(Number);
  return blocks * bytes;
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

/** Waits for all of it, and ends it however that goes. */
function filled(filling: PreallocThreads | undefined, watch: PreallocCallbacks): void {
  if (filling === undefined) throw new Error("no threads");
  using _ = filling;
  filling.finish(watch);
}

describe("threads", () => {
  test.each([1, 2, 5])("%d allocate every byte, tell of it, and are gone", (count) => {
    const held = new Set<string>();
    const system = ordinary(held);
    using owner = new DisposableStack();
    const groups = [files(system, owner, 40, 70), files(system, owner, 2, 2, 34)];
    const steps: number[] = [];
    filled(PreallocThreads.start(system, groups, count), watching(system, steps));
    expect(groups.flat().map((file) => allocated(file) / MIB)).toEqual([40, 70, 2, 2, 34]);
    expect(steps.reduce((sum, bytes) => sum + bytes, 0)).toBe(148 * MIB);
    expect([...held]).toEqual([]);
  });

  test("that fail give the error that the call gives, and stop", () => {
    const system = ordinary();
    using owner = new DisposableStack();
    const [good, bad] = files(system, owner, 64, 64);
    if (good === undefined || bad === undefined) throw new Error("no files");
    bad[Symbol.dispose]();
    let caught: unknown;
    try {
      filled(PreallocThreads.start(system, [[bad, good]], 2), watching(system, []));
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(SyscallError);
    expect(caught).toMatchObject({ call: "fallocate", errno: 9 });
  });

  test("are joined by the one that waits for them", () => {
    const own: number[] = [];
    const system = ordinary(new Set(), (bytes) => own.push(bytes / MIB));
    using owner = new DisposableStack();
    const group = files(system, owner, 256, 256);
    const steps: number[] = [];
    filled(PreallocThreads.start(system, [group], 2), watching(system, steps));
    expect(group.map((file) => allocated(file) / MIB)).toEqual([256, 256]);
    expect(steps.reduce((sum, bytes) => sum + bytes, 0)).toBe(512 * MIB);
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(preallocChunks(group).length);
  });

  test.each(["step", "wait"] as const)("end where %s of the watch throws, before that is seen", (name) => {
    const held = new Set<string>();
    const system = ordinary(held);
    using owner = new DisposableStack();
    // The one that waits takes parts until there are none: it waits for the last, which is a long one.
    const group = name === "step" ? files(system, owner, 512, 512) : [giant(system, owner, 512)];
    const stop = () => {
      throw new Error("stopped");
    };
    const filling = PreallocThreads.start(system, [group], 2);
    if (name === "wait") Bun.sleepSync(5);
    expect(() => filled(filling, { wait: () => true, step() {}, [name]: stop })).toThrow("stopped");
    expect([...held]).toEqual([]);
    const then = group.map(allocated);
    Bun.sleepSync(20);
    expect(group.map(allocated)).toEqual(then);
  });

  test("that cannot be made leave everything as it was", () => {
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
