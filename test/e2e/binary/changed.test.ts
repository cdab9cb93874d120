/**
 * An executable that tools or accidents have changed runs as before or does not run at all. It never becomes the plain bun
 * command, which would run any script as root.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { runAarch64, whyNoAarch64 } from "./emulated-processor.ts";
import { built, Directory, type Ended, runCommand } from "./nitro.ts";

const directory = new Directory();
afterAll(() => directory[Symbol.dispose]());

const REFUSAL = {
  out: "",
  err:
    "nitro: this executable cannot run: it was changed after it was built, or it is incomplete\n" +
    "hint: copy it again and compare its checksum with the one of the build: sha256sum FILE\n",
  status: 1,
};

const native = process.arch === "x64";
const BUILDS = [
  {
    name: "x86_64",
    original: native ? built("nitro") : "",
    prefix: "",
    loader: "/lib64/ld-linux-x86-64.so.2",
    run: (program: string, ...args: string[]) => runCommand([program, ...args]),
    skip: !native,
  },
  {
    name: "aarch64",
    original: built("nitro-aarch64"),
    prefix: native ? "aarch64-linux-gnu-" : "",
    loader: join(process.env["NITRO_ARM64_SYSROOT"] ?? "/", "lib/ld-linux-aarch64.so.1"),
    run: (program: string, ...args: string[]) => runAarch64(program, args),
    skip: whyNoAarch64 !== undefined,
  },
] as const;

/** Copies an executable and applies a command to the copy. */
function changedBy(original: string, name: string, command: readonly string[]): string {
  const copy = directory.file(name);
  copyFileSync(original, copy);
  const { err, status } = runCommand([...command, copy]);
  expect([command, err, status]).toEqual([command, "", 0]);
  return copy;
}

function isBun({ out }: Ended): boolean {
  return /^\d+\.\d+\.\d+\n$/.test(out) || out.includes("Bun is a fast JavaScript runtime");
}

/** Offsets in an executable. */
interface Layout {
  /** Offset of the number by which the runtime finds the program. */
  readonly slot: number;
  readonly start: number;
  readonly end: number;
}

function layoutOf(executable: Buffer): Layout {
  const trailer = "\n---- Bun! ----\n";
  const end = executable.lastIndexOf(trailer) + trailer.length;
  // The program begins on a page boundary with its length: everything up to its end except these eight bytes.
  for (let start = (end - 8) & -4096; start > 0; start -= 4096) {
    if (executable.readBigUint64LE(start) !== BigInt(end - start - 8)) continue;
    const slot = executable.subarray(0, start).lastIndexOf(addressAt(executable, start));
    expect(slot).toBeGreaterThan(0);
    return { slot, start, end };
  }
  throw new Error("the executable contains no program");
}

/** Returns the address of what is at an offset, as eight bytes, from the program headers. */
function addressAt(executable: Buffer, offset: number): Buffer {
  for (let header = 64; ; header += 56) {
    const [type, start] = [executable.readUint32LE(header), Number(executable.readBigUint64LE(header + 8))];
    const size = Number(executable.readBigUint64LE(header + 32));
    if (type !== 1 || offset < start || offset >= start + size) continue;
    const address = Buffer.alloc(8);
    address.writeBigUint64LE(executable.readBigUint64LE(header + 16) + BigInt(offset - start));
    return address;
  }
}

for (const { name, original, prefix, loader, run, skip } of BUILDS) {
  let unchanged: Ended | undefined;
  const expectRuns = (program: string) => {
    unchanged ??= run(original, "-version");
    expect(unchanged.status).toBe(0);
    expect(run(program, "-version")).toEqual(unchanged);
    expect(statSync(program).size).not.toBe(statSync(original).size);
  };

  describe.skipIf(skip)(`changed executable, ${name}: runs`, () => {
    test.each([
      ["strip", [`${prefix}strip`]],
      ["strip --strip-debug", [`${prefix}strip`, "--strip-debug"]],
      [
        "strip --strip-unneeded without comments and notes",
        [`${prefix}strip`, "--strip-unneeded", "-R", ".comment", "-R", ".note.*"],
      ],
      ["objcopy --strip-debug", [`${prefix}objcopy`, "--strip-debug"]],
      ["objcopy --strip-all", [`${prefix}objcopy`, "--strip-all"]],
      ["eu-strip", ["eu-strip"]],
    ])("changed executable: runs after %s", (_, command) => {
      expectRuns(changedBy(original, `${name}-stripped`, command));
    });

    test("changed executable: runs after patchelf --set-interpreter", () => {
      const link = directory.file(`loader-with-a-path-that-is-longer-than-the-one-before-${name}`);
      symlinkSync(loader, link);
      expectRuns(changedBy(original, `${name}-patched`, ["patchelf", "--set-interpreter", link]));
    });
  });

  describe.skipIf(skip)(`changed executable, ${name}: does not run`, () => {
    /** Overwrites eight bytes of a copy. */
    const damagedAt = (where: (layout: Layout) => number) => {
      const bytes = readFileSync(original);
      bytes.fill(0, where(layoutOf(bytes)), where(layoutOf(bytes)) + 8);
      const copy = directory.file(`${name}-damaged`);
      writeFileSync(copy, bytes, { mode: 0o755 });
      return copy;
    };

    test.each<[string, (layout: Layout) => number]>([
      ["where the runtime looks for the program's address", ({ slot }) => slot],
      ["at the program's length", ({ start }) => start],
      ["in the program's table of contents", ({ end }) => end - 40],
      ["at the program's end", ({ end }) => end - 8],
    ])("changed executable: refuses to run with zeros %s", (_, where) => {
      expect(run(damagedAt(where), "-version")).toEqual(REFUSAL);
    });

    test.each<[string, (layout: Layout) => number]>([
      ["at its end", ({ end }) => end - 1],
      ["a page before its end", ({ end }) => end - 4096],
      ["in its middle", ({ start, end }) => (start + end) >> 1],
      ["at its start", ({ start }) => start],
    ])("changed executable: refuses to run if it is truncated %s", (_, where) => {
      const copy = directory.file(`${name}-cut`);
      copyFileSync(original, copy);
      truncateSync(copy, where(layoutOf(readFileSync(original))));
      const ended = run(copy, "-version");
      // qemu-user reports a page beyond the end of the file with a signal, not with an error of the system call.
      if (name === "x86_64") expect(ended).toEqual(REFUSAL);
      expect([ended.status, ended.out]).not.toContain(0);
      expect(isBun(ended)).toBe(false);
    });

    test("changed executable: refuses to run if it is truncated before the program", () => {
      const copy = directory.file(`${name}-cut`);
      copyFileSync(original, copy);
      for (const share of [0.9, 0.5, 0.1]) {
        truncateSync(copy, Math.floor(statSync(original).size * share));
        const { out, status } = run(copy, "-version");
        expect([share, out, status === 0]).toEqual([share, "", false]);
      }
    });
  });
}

describe("changed executable: control, a program of the plain runtime", () => {
  const runtime = join(import.meta.dir, "../../../node_modules/bun/bin/bun.exe");

  test.skipIf(!existsSync(runtime))(
    "control: the plain runtime turns into bun, so that these tests can fail",
    () => {
      const [source, program] = [directory.file("plain.ts"), directory.file("plain")];
      writeFileSync(source, 'console.log("plain");\n');
      expect(runCommand([runtime, "build", "--compile", source, "--outfile", program]).status).toBe(0);
      expect(runCommand([program, "-version"]).out).toBe("plain\n");
      expect(runCommand(["strip", program]).status).toBe(0);
      expect(isBun(runCommand([program, "--version"]))).toBe(true);
    },
  );
});
