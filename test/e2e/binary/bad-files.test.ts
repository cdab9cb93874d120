import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { smallSections, writeEif } from "../../unit/eif/eif-writer.ts";
import { built, Directory, firstLine, hasDevice, NO_DEVICE, nitro, runCommand } from "./nitro.ts";

const directory = new Directory();
afterAll(() => directory[Symbol.dispose]());
chmodSync(directory.path, 0o755);

const ARM = process.arch === "arm64";
const good = writeEif({ flags: ARM ? 1 : 0, sections: smallSections() });

function put(name: string, bytes: Uint8Array | string): string {
  writeFileSync(directory.file(name), bytes);
  return directory.file(name);
}

/** Returns bytes that look like a kernel for this machine. */
function kernelBytes(): Buffer {
  const bytes = Buffer.alloc(4096, 1);
  if (ARM) bytes.write("ARM\x64", 0x38, "latin1");
  else bytes.write("HdrS", 0x202, "latin1");
  return bytes;
}

const kernel = put("kernel", kernelBytes());
const eif = put("good.eif", good);

/** Launches and returns the first line. The launch must fail before it opens the device. */
function refused(...args: string[]): string {
  const { out, err, status } = nitro(args, { cwd: directory.path });
  expect({ out, status }).toEqual({ out: "", status: 1 });
  expect(err).not.toContain("/dev/nitro_enclaves");
  return firstLine(err).replace(/^nitro: /, "");
}

describe.each([
  ["-kernel", []],
  ["-initrd", ["-kernel", kernel]],
  ["-M ramdisk=", ["-kernel", kernel]],
] as const)("a file that %s names", (typed, before) => {
  const isOption = typed !== "-M ramdisk=";
  const args = (path: string) => (isOption ? [typed, path] : ["-M", `ramdisk=${path}`]);
  const option = isOption ? `${typed} ` : typed;
  const refuse = (path: string) => {
    const { out, err, status } = nitro([...before, ...args(path)], { cwd: directory.path });
    expect({ out, status }).toEqual({ out: "", status: 1 });
    expect(err).not.toContain("/dev/nitro_enclaves");
    return firstLine(err).replace(/^nitro: /, "");
  };

  test("input file: a missing one is refused", () => {
    expect(refuse("missing")).toBe(`${option}missing: No such file or directory (ENOENT)`);
  });

  test("input file: a directory is refused", () => {
    mkdirSync(directory.file("sub"), { recursive: true });
    expect(refuse(directory.file("sub"))).toBe(`${option}${directory.file("sub")}: Is a directory (EISDIR)`);
  });

  test("input file: a directory in memory is refused", () => {
    expect(refuse("/dev/shm")).toBe(`${option}/dev/shm: Is a directory (EISDIR)`);
  });

  test("input file: a path below a regular file is refused", () => {
    expect(refuse(`${kernel}/x`)).toBe(`${option}${kernel}/x: Not a directory (ENOTDIR)`);
  });

  test("input file: an empty one is refused", () => {
    const empty = put("empty", "");
    expect(refuse(empty)).toBe(`${option}${empty}: the file is empty`);
  });

  test("input file: a FIFO without a writer is refused without waiting", () => {
    runCommand(["mkfifo", directory.file("fifo")]);
    expect(refuse(directory.file("fifo"))).toBe(
      `${option}${directory.file("fifo")}: not a regular file: nitro must know its size before reading it`,
    );
  });

  test.each(["/dev/zero", "/dev/null"])("input file: %s is refused", (device) => {
    expect(refuse(device)).toStartWith(`${option}${device}: `);
  });

  test("input file: a pipe on standard input is refused", () => {
    const { err, status } = runCommand([
      "sh",
      "-c",
      `true | ${built("nitro")} ${[...before, ...args("/dev/stdin")].join(" ")}`,
    ]);
    expect(status).toBe(1);
    expect(err).toContain(`${option}/dev/stdin: not a regular file`);
  });

  test("input file: a name that is too long is refused", () => {
    const name = "x".repeat(300);
    expect(refuse(name)).toBe(`${option}${name}: File name too long (ENAMETOOLONG)`);
  });
});

test("input file: the message about missing permission has a hint", () => {
  const secret = put("secret", "x");
  chmodSync(secret, 0o600);
  const nobody =
    process.getuid?.() === 0 ? ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
  if (nobody.length === 0) chmodSync(secret, 0o000);
  const { err, status } = runCommand([...nobody, built("nitro"), "-kernel", secret]);
  expect(err).toBe(
    `nitro: -kernel ${secret}: Permission denied (EACCES)\n` +
      "hint: check the permissions of the file and of the directories above it\n",
  );
  expect(status).toBe(1);
});

describe("EIF", () => {
  const NOT = "not a valid EIF:";

  test.skipIf(hasDevice)("EIF: a valid one is accepted, and the missing device is reported", () => {
    const { err, status } = nitro(["-kernel", eif]);
    expect(firstLine(err)).toStartWith(NO_DEVICE);
    expect(status).toBe(1);
  });

  test("EIF: a truncated one is refused with the section", () => {
    const cut = put("cut.eif", good.subarray(0, 615));
    expect(refused("-kernel", cut)).toBe(
      `-kernel ${cut}: ${NOT} section 3 (metadata, type 5) at byte 602: its 2 bytes from byte 614 extend past the end of the file (615 bytes)`,
    );
    const stub = put("stub.eif", good.subarray(0, 100));
    expect(refused("-kernel", stub)).toBe(
      `-kernel ${stub}: ${NOT} the header (548 bytes from byte 0) extends past the end of the file (100 bytes)`,
    );
  });

  test("EIF: a damaged one is refused", () => {
    const bytes = good.slice();
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    const bad = put("bad.eif", bytes);
    expect(refused("-kernel", bad)).toMatch(
      /: not a valid EIF: the CRC-32 of the file is 0x[0-9a-f]{8}, its header says 0x[0-9a-f]{8} \(byte 544\); the file is damaged$/,
    );
  });

  test("EIF: one for another architecture is refused", () => {
    const other = put("other.eif", writeEif({ flags: ARM ? 0 : 1, sections: smallSections() }));
    const [its, ours] = ARM ? ["x86_64", "aarch64"] : ["aarch64", "x86_64"];
    expect(refused("-kernel", other)).toBe(
      `-kernel ${other}: the image is for ${its}, this instance is ${ours}`,
    );
  });

  test.each([
    [`-initrd ${kernel}`, ["-initrd", kernel]],
    ["-append quiet", ["-append", "quiet"]],
    ["-append", ["-append", ""]],
    [`-initrd ${kernel}`, ["-append", "quiet", "-initrd", kernel]],
    [`-M ramdisk=${kernel}`, ["-append", "quiet", "-M", `nitro,ramdisk=${kernel}`]],
  ])("EIF: %s is refused together with it", (option, args) => {
    expect(refused("-kernel", eif, ...args)).toBe(
      `${option}: -kernel ${eif} is an EIF, which has its own ramdisks and command line`,
    );
  });

  test("EIF: one that does not fit into -m is refused", () => {
    const big = writeEif({
      flags: ARM ? 1 : 0,
      sections: smallSections().map((section) =>
        section.type === 3 ? { ...section, payload: new Uint8Array(500_000) } : section,
      ),
    });
    const path = put("big.eif", big);
    expect(refused("-kernel", path, "-m", "32")).toBe("-m 32: an enclave needs at least 64 MiB of memory");
  });
});

describe("kernel", () => {
  const needs = ARM
    ? "an enclave on aarch64 boots a flat arm64 Image, and with anything else it hangs without output"
    : "an enclave on x86_64 boots an x86 bzImage, and with anything else it hangs without output";
  const foreign = Buffer.alloc(2048, 1);
  if (ARM) foreign.write("HdrS", 0x202, "latin1");
  else foreign.write("ARM\x64", 0x38, "latin1");

  test.each([
    ["a-text-file", "version https://git-lfs.github.com/spec/v1\n", "a text file"],
    ["a-script", "#!/bin/sh\nexit 0\n", "a script"],
    [
      "vmlinux",
      `${"\x7fELF\x02\x01\x01".padEnd(18, "\0")}\x3e\0`,
      "an ELF file for x86_64 (a vmlinux, if it is a kernel)",
    ],
    ["initrd.cpio", `070701${"0".repeat(104)}`, "a cpio archive"],
    ["kernel.xz", "\xfd7zXZ\0\0\x04", "compressed with xz"],
    ["kernel.zst", "\x28\xb5\x2f\xfd\x04\0", "compressed with zstd"],
    ["one-byte", "\x01", "of unknown format"],
    ["pattern", "\x01\x02\x03\xff".repeat(1000), "of unknown format"],
    ["zeros", "\0".repeat(4096), "a file that starts with zeros"],
  ])("kernel: %s is refused with its format", (name, content, what) => {
    const path = put(name, Buffer.from(content, "latin1"));
    expect(refused("-kernel", path)).toBe(`-kernel ${path}: it is ${what}; ${needs}`);
  });

  test("kernel: one for another architecture is refused", () => {
    const path = put("foreign", foreign);
    const [what, hint] = ARM ? ["an x86 bzImage", "arm64"] : ["an arm64 Image", "x86_64"];
    const { err } = nitro(["-kernel", path]);
    expect(err).toBe(
      `nitro: -kernel ${path}: it is ${what}; ${needs}\nhint: use a kernel built for ${hint}\n`,
    );
  });

  test("kernel: the hint has a command for this file, or any-kernel=on", () => {
    const xz = put("some.xz", Buffer.from("\xfd7zXZ\0\0\x04", "latin1"));
    const name = ARM ? "Image" : "bzImage, if it contains one";
    expect(nitro(["-kernel", xz]).err).toContain(`\nhint: xz -dc ${xz} > ${name}\n`);
    const text = put("some.txt", "hello\n");
    expect(nitro(["-kernel", text]).err).toContain("\nhint: -M nitro,any-kernel=on accepts it anyway\n");
  });

  test.skipIf(hasDevice)("any-kernel=on: launches a file of every kind, with a warning", () => {
    const path = put("insisted", "hello\n");
    const { err, status } = nitro(["-kernel", path, "-M", "nitro,any-kernel=on"]);
    expect(err.split("\n").slice(0, 2)).toEqual([
      `nitro: warning: -kernel ${path}: it is a text file; ${needs}`,
      expect.stringContaining(NO_DEVICE),
    ]);
    expect(status).toBe(1);
    expect(refused("-kernel", path, "-M", "any-kernel=on", "-M", "any-kernel=off")).toContain(
      "it is a text file",
    );
  });

  test("ramdisks: more than an image can hold are refused", () => {
    const many = Array.from({ length: 30 }, () => ["-M", `ramdisk=${eif}`]).flat();
    expect(refused("-kernel", kernel, ...many)).toBe(
      `-M ramdisk=${eif}: 30 ramdisks are given, but an image holds at most 29`,
    );
  });
});

describe("trace file", () => {
  test("trace file: one that cannot be created is reported", () => {
    expect(refused("-kernel", eif, "-D", "/no/such/file")).toBe(
      "-D /no/such/file: No such file or directory (ENOENT)",
    );
  });
});
