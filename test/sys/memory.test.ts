import { describe, expect, test } from "bun:test";
import { SyscallError } from "../../src/sys/failure.ts";
import { HUGE_PAGE_BYTES, Mapping, mapHugePages } from "../../src/sys/memory.ts";
import { openSystem, type System } from "../../src/sys/system.ts";
import { fakeLibc } from "./fake-libc.ts";

const SIZE = 4 * HUGE_PAGE_BYTES;

/** A kernel with huge pages to give, which notes what it is asked; `failing` fails with `errno`. */
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

describe("huge pages", () => {
  test("are asked for by their size, mapped shared, filled from the first to the last", () => {
    const { system, calls } = withPages();
    const mapping = mapHugePages(system, SIZE);
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
    ["memfd_create", []],
    ["ftruncate", ["close 50"]],
    ["mmap", ["close 50"]],
    ["fallocate", [`munmap ${SIZE}`, "close 50"]],
  ])("nothing is left behind where %s fails", (call, after) => {
    const { system, calls } = withPages(call);
    expect(() => mapHugePages(system, SIZE)).toThrow(SyscallError);
    const at = calls.findIndex((line) => line.startsWith(call));
    expect(calls.slice(at + 1)).toEqual(after);
  });

  test("a signal in the middle of filling begins it anew", () => {
    const { system } = withPages();
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
    expect(mapHugePages(interrupted, SIZE).size).toBe(SIZE);
    expect(tries).toBe(3);
    expect(system.trace).toEqual({});
  });

  test("are given back once", () => {
    const { system, calls } = withPages();
    {
      using mapping = mapHugePages(system, SIZE);
      mapping.unmap();
    }
    expect(calls.filter((line) => line.startsWith("munmap"))).toEqual([`munmap ${SIZE}`]);
  });
});

describe("a view of a mapping", () => {
  const { libc } = openSystem();
  const mapped = Number(libc.mmap(0, 8192, 3, 0x22, -1, 0));

  test("is the memory itself", () => {
    using mapping = new Mapping(openSystem(), mapped, 8192);
    mapping.view(4096, 4).set([1, 2, 3, 4]);
    expect([...mapping.view(4094, 6)]).toEqual([0, 0, 1, 2, 3, 4]);
    expect(mapping.view(8192, 0).length).toBe(0);
    expect(() => mapping.view(8190, 3)).toThrow("outside the mapping");
    expect(() => mapping.view(-1, 3)).toThrow("outside the mapping");
  });
});
