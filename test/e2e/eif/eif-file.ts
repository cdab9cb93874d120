/**
 * The tests' own EIF reader, written from the format's specification: it shares no code with nitro, so that a mistake
 * in one is found by the other.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";

const NAMES = ["invalid", "kernel", "cmdline", "ramdisk", "signature", "metadata"];

export interface EifFile {
  readonly version: number;
  readonly flags: number;
  readonly memory: bigint;
  readonly cpus: bigint;
  readonly names: readonly string[];
  readonly payloads: readonly Buffer[];
  /** Offsets and sizes in the header. */
  readonly table: readonly (readonly [offset: number, size: number])[];
  readonly bytes: Buffer;
  readonly pcrs: readonly [pcr0: string, pcr1: string, pcr2: string];
}

/** A PCR by its definition: a register of zeros extended by the content's hash. */
export function pcrOf(...content: readonly Uint8Array[]): string {
  const inner = createHash("sha384").update(Buffer.concat(content)).digest();
  return createHash("sha384").update(new Uint8Array(48)).update(inner).digest("hex");
}

/** Reads a file whose sections follow each other without gaps. Throws if it violates the format. */
export function readEifFile(path: string): EifFile {
  const bytes = readFileSync(path);
  const must = (holds: boolean, what: string) => {
    if (!holds) throw new Error(`${path}: ${what}`);
  };
  must(bytes.toString("latin1", 0, 4) === ".eif", "magic");
  const count = bytes.readUInt16BE(26);
  const table: [number, number][] = [];
  const payloads: Buffer[] = [];
  const names: string[] = [];
  let at = 548;
  for (let i = 0; i < 32; i++) {
    const offset = Number(bytes.readBigUInt64BE(28 + 8 * i));
    const size = Number(bytes.readBigUInt64BE(284 + 8 * i));
    if (i >= count) {
      must(offset === 0 && size === 0, `unused entry ${i}`);
      continue;
    }
    must(offset === at, `section ${i} is at ${offset}, not ${at}`);
    must(Number(bytes.readBigUInt64BE(at + 4)) === size, `section ${i} has two sizes`);
    must(bytes.readUInt16BE(at + 2) === 0, `section ${i} has flags`);
    names.push(NAMES[bytes.readUInt16BE(at)] ?? "unknown");
    payloads.push(bytes.subarray(at + 12, at + 12 + size));
    table.push([offset, size]);
    at += 12 + size;
  }
  must(at === bytes.length, `it ends at ${bytes.length}, not ${at}`);
  const covered = Buffer.concat([bytes.subarray(0, 544), bytes.subarray(548)]);
  must(crc32(covered) === bytes.readUInt32BE(544), "CRC");
  const of = (name: string) => payloads.filter((_, i) => names[i] === name);
  const bases = [...of("kernel"), ...of("cmdline")];
  const [first, ...others] = of("ramdisk");
  const boot = first === undefined ? bases : [...bases, first];
  return {
    version: bytes.readUInt16BE(4),
    flags: bytes.readUInt16BE(6),
    memory: bytes.readBigUInt64BE(8),
    cpus: bytes.readBigUInt64BE(16),
    ...{ names, payloads, table, bytes },
    pcrs: [pcrOf(...boot, ...others), pcrOf(...boot), pcrOf(...others)],
  };
}

/** Returns the payload of the first section with this name. */
export function payload(file: EifFile, name: string): Buffer {
  const found = file.payloads[file.names.indexOf(name)];
  if (found === undefined) throw new Error(`no section ${name}`);
  return found;
}
