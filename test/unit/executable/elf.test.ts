/** Reads and changes a small ELF file that binutils made. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ElfFile } from "../../../src/executable/elf.ts";

const directory = mkdtempSync(join(tmpdir(), "nitro-elf-"));
afterAll(() => rmSync(directory, { recursive: true }));

function must(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: directory });
  if (exitCode !== 0) throw new Error(stderr.toString());
}

function sample(): Buffer {
  const source = `
	.globl	_start, numbers
	.text
_start:	nop
	.section .first, "aw"
	.quad	0x112233445566
	.section .second, "aw"
	.type	numbers, %object
numbers:	.quad	1, 2
	.size	numbers, 16
`;
  writeFileSync(join(directory, "sample.s"), source);
  must("as", "-o", "sample.o", "sample.s");
  const layout = ["--section-start=.first=0x800000", "--section-start=.second=0x800008"];
  must("ld", "--export-dynamic", "-pie", "--no-dynamic-linker", ...layout, "-o", "sample", "sample.o");
  return readFileSync(join(directory, "sample"));
}

test("ELF: finds sections, symbols and the contents of an address", () => {
  const file = new ElfFile(sample());
  expect(file.section(".first")).toMatchObject({ address: 0x800000, size: 8 });
  expect(file.number(0x800000)).toBe(0x112233445566);
  expect(file.int32(0x800002)).toBe(0x11223344);
  expect(file.symbol("numbers")).toEqual({ address: 0x800008, size: 16 });
  expect(file.number(0x800010)).toBe(2);
});

test("ELF: reads and writes the contents of an address", () => {
  const bytes = sample();
  new ElfFile(bytes).write(0x800008, Buffer.from("changed\0"));
  const file = new ElfFile(bytes);
  expect(file.text({ address: 0x800008, size: 7 })).toBe("changed");
  expect(file.read({ address: 0x800010, size: 8 })[0]).toBe(2);
});

test("ELF: a section is enlarged by what follows it, and the entry point is set", () => {
  const bytes = sample();
  const file = new ElfFile(bytes);
  file.enlargeSection({ address: 0x800008, size: 16 });
  file.entry = 0x800008;
  const changed = new ElfFile(bytes);
  expect(changed.section(".first").size).toBe(24);
  expect(changed.entry).toBe(0x800008);
});

test("ELF: what is not there is named", () => {
  const file = new ElfFile(sample());
  expect(() => file.section(".third")).toThrow("there is no section .third");
  expect(() => file.symbol("letters")).toThrow("there is no symbol letters");
  expect(() => file.number(0x900000)).toThrow("no section contains address 0x900000");
  expect(() => file.enlargeSection({ address: 0x900000, size: 8 })).toThrow(
    "no section ends at address 0x900000",
  );
});
