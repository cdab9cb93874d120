/** A launch never writes to its input files, whatever names they have: opening an output would truncate them. */
import { afterAll, describe, expect, test } from "bun:test";
import { linkSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { smallSections, writeEif } from "../../unit/eif/eif-writer.ts";
import { arm64Image } from "../../unit/eif/kernels.ts";
import { fakeKernel } from "../launch/images.ts";
import { Directory, firstLine, hasDevice, NO_DEVICE, nitro } from "./nitro.ts";

const directory = new Directory();
afterAll(() => directory[Symbol.dispose]());
const memory = mkdtempSync("/dev/shm/nitro-outputs-");
afterAll(() => rmSync(memory, { recursive: true, force: true }));

function made(path: string, content: Uint8Array | string): string {
  writeFileSync(path, content);
  return path;
}

const isArm = process.arch === "arm64";
const eif = made(directory.file("image.eif"), writeEif({ flags: isArm ? 1 : 0, sections: smallSections() }));
const kernel = made(directory.file("kernel"), isArm ? arm64Image() : fakeKernel(100_000));
const initrd = made(directory.file("initrd"), "ramdisk");
const second = made(directory.file("second"), "another");
const config = made(directory.file("config"), `[machine]\n  kernel = "${eif}"\n`);
const inMemory = made(join(memory, "image.eif"), readFileSync(eif));
const [hard, soft] = [directory.file("hard"), directory.file("soft")];
linkSync(eif, hard);
symlinkSync(eif, soft);
const INPUTS = [eif, kernel, initrd, second, config, inMemory];
const before = INPUTS.map((path) => readFileSync(path));

/** Returns the first line of the message. After a refusal every input file must be unchanged. */
function firstMessage(...args: string[]): string {
  const { err, out, status } = nitro(args, { cwd: directory.path });
  expect({ out, status }).toEqual({ out: "", status: 1 });
  expect(INPUTS.map((path) => readFileSync(path))).toEqual(before);
  return firstLine(err);
}

const ways = (path: string): [string, string[]][] => [
  [`-serial file:${path}`, ["-serial", `file:${path}`]],
  [`-D ${path}`, ["-D", path]],
  [`-pidfile ${path}`, ["-pidfile", path]],
  [`-chardev null,id=n,logfile=${path}`, ["-chardev", `null,id=n,logfile=${path}`, "-serial", "chardev:n"]],
];

describe("output conflicts", () => {
  const pieces = ["-kernel", kernel, "-initrd", initrd, "-M", `ramdisk=${second}`];
  const cases: [what: string, output: string, input: string, args: string[]][] = [
    ["with its own name", eif, `-kernel ${eif}`, ["-kernel", eif]],
    ["with a relative name", "./image.eif", `-kernel ${eif}`, ["-kernel", eif]],
    ["named by a hard link", hard, `-kernel ${eif}`, ["-kernel", eif]],
    ["named by a symbolic link", soft, `-kernel ${eif}`, ["-kernel", eif]],
    ["whose option names a link", eif, `-kernel ${soft}`, ["-kernel", soft]],
    ["in /dev/shm", inMemory, `-kernel ${inMemory}`, ["-kernel", inMemory]],
    ["that is a ramdisk", initrd, `-initrd ${initrd}`, pieces],
    ["that is a further ramdisk", second, `-M ramdisk=${second}`, pieces],
    ["of -readconfig", config, `-readconfig ${config}`, ["-readconfig", config]],
  ];
  for (const [what, output, input, args] of cases) {
    test.each(ways(output))(
      `output conflict: an input file ${what} is not overwritten: %s`,
      (typed, more) => {
        expect(firstMessage(...args, ...more)).toBe(
          `nitro: ${typed}: this is also the file of ${input} and would overwrite it`,
        );
      },
    );
  }
});

describe("output conflicts between outputs", () => {
  test.each([
    ["exists", true],
    ["does not exist yet", false],
  ])("output conflict: two outputs cannot be one file that %s", (_what, isThere) => {
    const path = directory.file(isThere ? "log" : "new");
    if (isThere) made(path, "");
    const other = `${directory.path}/./${path.slice(directory.path.length + 1)}`;
    expect(firstMessage("-kernel", eif, "-serial", `file:${path}`, "-D", other)).toBe(
      `nitro: -D ${other}: this is also the file of -serial file:${path} and would overwrite it`,
    );
  });

  test.skipIf(hasDevice)("output conflict: two outputs may be one device", () => {
    expect(firstMessage("-kernel", eif, "-serial", "file:/dev/null", "-D", "/dev/null")).toStartWith(
      NO_DEVICE,
    );
  });
});
