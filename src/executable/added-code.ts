/** Machine code that build.ts adds to the runtime, in the place of functions that nitro never calls. */
import type { ElfFile } from "./elf.ts";

/** The architectures of the executables. */
export type Processor = "x86_64" | "aarch64";

/** Returns 64-bit little-endian numbers. */
export function quads(...values: number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values.map((value) => BigInt(value))).buffer);
}

/** Overwrites a function with code. Returns the address. Throws Error if the code does not fit. */
export function overwriteFunction(file: ElfFile, name: string, code: Uint8Array): number {
  const { address, size } = file.symbol(name);
  if (size < code.length) throw new Error(`${name} has ${size} bytes, the code has ${code.length}`);
  file.write(address, code);
  return address;
}
