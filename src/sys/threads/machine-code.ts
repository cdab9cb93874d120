/** Pages of machine code of our own, for what JavaScript cannot do: run on a thread that is not its own. */
import { viewOf } from "../libc.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE } from "../linux/mman.ts";
import { checked, type System } from "../system.ts";
import { hex } from "../trace.ts";

/** The size of the mapping that code is put into, in bytes; the kernel rounds it up where its pages are larger. */
export const CODE_BYTES = 4096;

/** Little-endian 32-bit words as bytes. */
export function words(...values: number[]): number[] {
  const bytes: number[] = [];
  for (const value of values) {
    bytes.push(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }
  return bytes;
}

/** Maps memory of the program's own, which is zeros. Gives its address. Throws SyscallError. */
export function mapZeros(system: System, length: number): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS;
  const start = Number(system.libc.mmap(0, length, PROT_READ | PROT_WRITE, flags, -1, 0));
  const args = () => `NULL, ${length}, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0`;
  return checked(system, "mmap", start, args, "");
}

/**
 * Puts code into CODE_BYTES of its own, which are writable until they are executable. The kernel makes the instruction
 * cache agree when a page becomes executable for the first time. Gives the address. Throws SyscallError.
 */
export function executable(system: System, code: Uint8Array): number {
  const start = mapZeros(system, CODE_BYTES);
  viewOf(start, code.length).set(code);
  const made = system.libc.mprotect(start, CODE_BYTES, PROT_READ | PROT_EXEC);
  checked(system, "mprotect", made, () => `${hex(start)}, ${CODE_BYTES}, PROT_READ|PROT_EXEC`, "");
  return start;
}
