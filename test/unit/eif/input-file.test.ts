import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  linkSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type InputFile, identitiesOf, openInput, readSmallInput } from "../../../src/eif/input-file.ts";
import { UserError } from "../../../src/sys/errors.ts";
import { addressOf } from "../../../src/sys/libc.ts";
import { Mapping } from "../../../src/sys/memory.ts";
import { openSystem } from "../../../src/sys/system.ts";

const system = openSystem();
const directory = mkdtempSync(join(tmpdir(), "nitro-input-"));
afterAll(() => rmSync(directory, { recursive: true }));

const MIB = 1024 * 1024;
const advance = () => {};

function create(name: string, bytes: Uint8Array | string): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const open = (path: string) => openInput(system, `-kernel ${path}`, path);

function refusal(run: () => unknown): { message: string; hint: string | undefined } {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** The content as forEachChunk passes it. */
function chunks(file: InputFile, offset: number, size: number): Uint8Array[] {
  const all: Uint8Array[] = [];
  file.forEachChunk(offset, size, advance, (chunk) => all.push(chunk.slice()));
  return all;
}

const content = new Uint8Array(2 * MIB + 5).map((_, i) => (i * 31) ^ (i >> 8));

describe("input file", () => {
  test("input file: has its first kilobyte, its size, its name and its identity", () => {
    const path = create("file", content);
    using file = open(path);
    expect([file.size, file.name, file.head.length]).toEqual([content.length, "file", 1024]);
    expect(Buffer.compare(file.head, content.subarray(0, 1024))).toBe(0);
    linkSync(path, join(directory, "hard"));
    symlinkSync("file", join(directory, "soft"));
    const paths = ["file", "hard", "soft", "missing"].map((name) => join(directory, name));
    const identity = file.identity ?? "";
    expect(identitiesOf(system, [...paths, undefined])).toEqual([identity, identity, identity]);
    expect(identitiesOf(system, [create("other", "x")])).not.toEqual([identity]);
  });

  test("input file: is passed in chunks of at most 1 MiB", () => {
    using file = open(create("chunks", content));
    const all = chunks(file, 3, content.length - 5);
    expect(all.map(({ length }) => length)).toEqual([MIB, MIB]);
    expect(Buffer.compare(Buffer.concat(all), content.subarray(3, -2))).toBe(0);
    expect(chunks(file, 10, 0)).toEqual([]);
  });

  test("input file: is no longer read once `advance` throws", () => {
    using file = open(create("stopped", content));
    let used = 0;
    const stop = () => {
      throw new Error("stopped");
    };
    expect(() => file.forEachChunk(0, file.size, stop, () => used++)).toThrow("stopped");
    expect(used).toBe(1);
  });

  test("input file: is read into memory", () => {
    using file = open(create("loaded", content));
    const memory = new Uint8Array(content.length + 100);
    const mapping = new Mapping(system, addressOf(memory), memory.length);
    const passed: Uint8Array[] = [];
    file.load(mapping, 50, (chunk) => passed.push(chunk.slice()), undefined);
    expect(Buffer.compare(memory.subarray(50, -50), content)).toBe(0);
    expect(Buffer.compare(Buffer.concat(passed), content)).toBe(0);
  });
});

describe("a file that changes its size after it was opened is refused", () => {
  const changed = (path: string, now: number) => ({
    message:
      `-kernel ${path}: the file changed while it was being read: its size is ${now} bytes now, ` +
      `it was ${content.length}`,
    hint: "run the command again once the file is complete",
  });

  test("changed file: one that becomes shorter while it is read in chunks is refused", () => {
    const path = create("shorter", content);
    using file = open(path);
    truncateSync(path, 1_500_000);
    expect(refusal(() => chunks(file, 0, file.size))).toEqual(changed(path, 1_500_000));
  });

  test.each([
    ["shorter", (path: string) => truncateSync(path, 1_500_000), 1_500_000],
    ["longer", (path: string) => appendFileSync(path, "more"), content.length + 4],
  ])("changed file: one that becomes %s before it is read into memory is refused", (_, change, now) => {
    const path = create("resized", content);
    using file = open(path);
    change(path);
    const memory = new Uint8Array(content.length);
    const mapping = new Mapping(system, addressOf(memory), memory.length);
    expect(refusal(() => file.load(mapping, 0, advance, undefined))).toEqual(changed(path, now));
  });
});

describe("a path is refused", () => {
  test.each([
    ["that is missing", "missing", "No such file or directory (ENOENT)", /^check the path/],
    ["that is a directory", ".", "Is a directory (EISDIR)", /^name a file in it$/],
    [
      "that is a device without a size",
      "/dev/zero",
      "not a regular file: it has no size",
      /^ls -l \/dev\/zero$/,
    ],
    ["that is a device without content", "/dev/null", "not a regular file: it has no size", /^ls -l/],
  ])("path: %s is refused", (_, name, why, hint) => {
    const path = name.startsWith("/") ? name : join(directory, name);
    expect(refusal(() => open(path))).toEqual({
      message: `-kernel ${path}: ${why}`,
      hint: expect.stringMatching(hint),
    });
  });

  test("path: an empty file is refused", () => {
    const path = create("empty", "");
    expect(refusal(() => open(path))).toEqual({
      message: `-kernel ${path}: the file is empty`,
      hint: `ls -l ${path}`,
    });
  });

  test("path: a pipe is refused without waiting for a writer", () => {
    const path = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", path]);
    expect(refusal(() => open(path))).toEqual({
      message: `-kernel ${path}: not a regular file: nitro must know its size before reading it`,
      hint: "save it to a file first",
    });
  });

  test("path: the hint is a command that a shell reads as intended", () => {
    expect(refusal(() => open(create("a b;c", ""))).hint).toBe(`ls -l '${join(directory, "a b;c")}'`);
  });
});

describe("small file", () => {
  test("small file: is read as a whole, up to the limit", () => {
    const path = create("small", "12345");
    expect(Buffer.from(readSmallInput(system, "-x", path, 5)).toString()).toBe("12345");
    expect(refusal(() => readSmallInput(system, "-x", path, 4)).message).toBe(
      "-x: larger than 4 bytes, the limit",
    );
    expect(readSmallInput(system, "-x", "/dev/null", 4).length).toBe(0);
  });

  test("small file: may be a pipe", () => {
    const path = join(directory, "small-fifo");
    Bun.spawnSync(["mkfifo", path]);
    const writer = Bun.spawn(["sh", "-c", `printf abc > ${path}`]);
    expect(Buffer.from(readSmallInput(system, "-x", path, 5)).toString()).toBe("abc");
    return writer.exited;
  });

  test("small file: a missing one and a directory are refused", () => {
    const read = (name: string) =>
      refusal(() => readSmallInput(system, "-x", join(directory, name), 5)).message;
    expect(read("missing")).toBe("-x: No such file or directory (ENOENT)");
    expect(read(".")).toBe("-x: Is a directory (EISDIR)");
  });
});
