import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { smallSections, writeEif } from "../image/eif-writer.ts";
import { built, Folder, firstLine, hasDevice, NO_DEVICE, nitro, runCommand } from "./nitro.ts";

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
chmodSync(folder.path, 0o755);

const ARM = process.arch === "arm64";
const good = writeEif({ flags: ARM ? 1 : 0, sections: smallSections() });

function put(name: string, bytes: Uint8Array | string): string {
  writeFileSync(folder.file(name), bytes);
  return folder.file(name);
}

const kernel = put(
  "kernel",
  new Uint8Array(4096).map((_, i) => i),
);
const eif = put("good.eif", good);

/** Launches and gives the first line, having seen that nothing else went wrong: the device was not reached. */
function refused(...words: string[]): string {
  const { out, err, status } = nitro(words, { cwd: folder.path });
  expect({ out, status }).toEqual({ out: "", status: 1 });
  expect(err).not.toContain("/dev/nitro_enclaves");
  return firstLine(err).replace(/^nitro: /, "");
}

describe.each([
  ["-kernel", []],
  ["-initrd", ["-kernel", kernel]],
] as const)("a file that %s names", (option, before) => {
  const refuse = (path: string) => {
    const { out, err, status } = nitro([...before, option, path], { cwd: folder.path });
    expect({ out, status }).toEqual({ out: "", status: 1 });
    expect(err).not.toContain("/dev/nitro_enclaves");
    const lines = err.split("\n").filter((line) => !line.startsWith("nitro: warning: "));
    return lines[0]?.replace(/^nitro: /, "");
  };

  test("is missing", () => {
    expect(refuse("missing")).toBe(`${option} missing: No such file or directory (ENOENT)`);
  });

  test("is a folder", () => {
    mkdirSync(folder.file("sub"), { recursive: true });
    expect(refuse(folder.file("sub"))).toBe(`${option} ${folder.file("sub")}: Is a directory (EISDIR)`);
  });

  test("is a folder in memory", () => {
    expect(refuse("/dev/shm")).toBe(`${option} /dev/shm: Is a directory (EISDIR)`);
  });

  test("is below something that is no folder", () => {
    expect(refuse(`${kernel}/x`)).toBe(`${option} ${kernel}/x: Not a directory (ENOTDIR)`);
  });

  test("is empty", () => {
    const empty = put("empty", "");
    expect(refuse(empty)).toBe(`${option} ${empty}: the file is empty`);
  });

  test("is a FIFO that nobody writes", () => {
    runCommand(["mkfifo", folder.file("fifo")]);
    expect(refuse(folder.file("fifo"))).toBe(
      `${option} ${folder.file("fifo")}: not a regular file; its size must be known before it is read`,
    );
  });

  test.each(["/dev/zero", "/dev/null"])("is %s", (device) => {
    expect(refuse(device)).toStartWith(`${option} ${device}: `);
  });

  test("is a terminal or a socket's end", () => {
    const { err, status } = runCommand([
      "sh",
      "-c",
      `true | ${built("nitro")} ${[...before, option].join(" ")} /dev/stdin`,
    ]);
    expect(status).toBe(1);
    expect(err).toContain(`${option} /dev/stdin: not a regular file`);
  });

  test("has a name that is too long", () => {
    const name = "x".repeat(300);
    expect(refuse(name)).toBe(`${option} ${name}: File name too long (ENAMETOOLONG)`);
  });
});

test("a file that another user may not read", () => {
  const secret = put("secret", "x");
  chmodSync(secret, 0o600);
  const nobody =
    process.getuid?.() === 0 ? ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
  if (nobody.length === 0) chmodSync(secret, 0o000);
  const { err, status } = runCommand([...nobody, built("nitro"), "-kernel", secret]);
  expect(err).toBe(
    `nitro: -kernel ${secret}: Permission denied (EACCES)\n` +
      "hint: check the permissions of the file and of the folders above it\n",
  );
  expect(status).toBe(1);
});

describe("an EIF", () => {
  const NOT = "not an EIF that could start:";

  test.skipIf(hasDevice)("that is good is past all that, and the device is missing", () => {
    const { err, status } = nitro(["-kernel", eif]);
    expect(firstLine(err)).toBe(NO_DEVICE);
    expect(status).toBe(1);
  });

  test("that is cut", () => {
    const cut = put("cut.eif", good.subarray(0, 615));
    expect(refused("-kernel", cut)).toBe(
      `-kernel ${cut}: ${NOT} section 3 (metadata) has 2 bytes from byte 614, the file has 615 bytes`,
    );
    const stub = put("stub.eif", good.subarray(0, 100));
    expect(refused("-kernel", stub)).toBe(
      `-kernel ${stub}: ${NOT} the header needs 548 bytes from byte 0, the file has 100 bytes`,
    );
  });

  test("that is damaged", () => {
    const bytes = good.slice();
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    const bad = put("bad.eif", bytes);
    expect(refused("-kernel", bad)).toMatch(
      /: not an EIF that could start: its CRC-32 is 0x[0-9a-f]{8}, the header says 0x[0-9a-f]{8} at byte 544; the file is damaged$/,
    );
  });

  test("of another architecture", () => {
    const other = put("other.eif", writeEif({ flags: ARM ? 0 : 1, sections: smallSections() }));
    const [its, ours] = ARM ? ["x86_64", "aarch64"] : ["aarch64", "x86_64"];
    expect(refused("-kernel", other)).toBe(
      `-kernel ${other}: ${NOT} it is an image for ${its}, this machine is ${ours}`,
    );
  });

  test.each([
    ["-initrd", ["-initrd", kernel]],
    ["-append", ["-append", "quiet"]],
    ["-append", ["-append", ""]],
    ["-initrd", ["-append", "quiet", "-initrd", kernel]],
  ])("with %s beside it", (option, words) => {
    expect(refused("-kernel", eif, ...words)).toBe(
      `${option}: -kernel ${eif} is an EIF, which has its own ramdisks and command line`,
    );
  });

  test("that does not fit into -m", () => {
    const big = writeEif({
      flags: ARM ? 1 : 0,
      sections: smallSections().map((section) =>
        section.type === 3 ? { ...section, payload: new Uint8Array(500_000) } : section,
      ),
    });
    const path = put("big.eif", big);
    expect(refused("-kernel", path, "-m", "32")).toBe("-m 32: an enclave has 64 MiB of memory at least");
  });
});

describe("other files", () => {
  test("a console's file that cannot be made", () => {
    expect(refused("-kernel", eif, "-serial", "file:/no/such/file")).toBe(
      "-serial file:/no/such/file: No such file or directory (ENOENT)",
    );
    expect(refused("-kernel", eif, "-serial", `file:${folder.path}`)).toBe(
      `-serial file:${folder.path}: Is a directory (EISDIR)`,
    );
  });

  test("a console's FIFO that nobody reads does not hold the launch up", () => {
    runCommand(["mkfifo", folder.file("console")]);
    expect(refused("-kernel", eif, "-serial", `file:${folder.file("console")}`)).toBe(
      `-serial file:${folder.file("console")}: No such device or address (ENXIO)`,
    );
  });

  test("a trace's file that cannot be made", () => {
    expect(refused("-kernel", eif, "-D", "/no/such/file")).toBe(
      "-D /no/such/file: No such file or directory (ENOENT)",
    );
  });
});
