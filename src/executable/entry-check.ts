/**
 * The check at the start of the executable. `bun build --compile` stores the program in a section of its own, and the
 * runtime finds it by an address in another place. If the address or the program is lost, the runtime starts as the
 * plain bun command, which runs any script; strip(1) did that to every executable. So the executable starts with the
 * code of x86_64.S or aarch64.S, which prints a message and exits with status 1 unless all of the program is there. It
 * takes about 1 µs, because it reads only the last bytes. It is in the place of a function that nitro never calls.
 */
import { overwriteFunction, type Processor, quads } from "./added-code.ts";
import type { ElfFile } from "./elf.ts";

/** Only native add-ons for Node.js call it, and nitro loads none. */
const UNUSED_FUNCTION = "napi_run_script";

/** The section with the program. In the runtime alone it has 8 bytes, which later have the address of the program. */
const PROGRAM_SECTION = ".bun";

/** How many of the last bytes of the program are compared: its table of contents, and a fixed mark of 16 bytes. */
const COMPARED_BYTES = 48;

const MESSAGE =
  "nitro: this executable cannot run: it was changed after it was built, or it is incomplete\n" +
  "hint: copy it again and compare its checksum with the one of the build: sha256sum FILE\n";

/** The code up to `expected`, in hexadecimal; test/unit/executable/added-code.test.ts compares it with the sources. */
const CODE: Readonly<Record<Processor, string>> = {
  x86_64:
    "f30f1efa4989d04c8d0d72000000498b01488b18493b5908753dbfffffffff498b711831d241ba08000000b80e000000" +
    "0f054883f8f2741f488b03493b41107516498d7920b906000000fcf348a775074c89c241ff6150bf02000000488d357d" +
    "000000498b5158b8010000000f05bf01000000b8e70000000f050f0b0f1f4000",
  aarch64:
    "5f2403d5e90300aaca0400104b3140a96b0140f97f010ceb0103005400008092410d40f9020080d2030180d2e81080d2" +
    "010000d41f3800b1000200548b0140f94c0940f97f010ceb810100544d810091ce0080d22b8440f8ac8540f87f010ceb" +
    "c1000054ce0500f161ffff54e00309aa502940f900021fd6400080d221040010422d40f9080880d2010000d4200080d2" +
    "c80b80d2010000d4000000001f2003d5",
};

/** What the code compares, in the order of its table, and where it continues. */
export interface ExpectedProgram {
  /** Where the runtime looks for the address of the program. */
  readonly slot: number;
  /** The address of the program, which begins with its length: eight bytes that do not count. */
  readonly address: number;
  readonly length: number;
  /** The last COMPARED_BYTES of the program. */
  readonly ending: Uint8Array;
  /** The entry point of the runtime. */
  readonly entry: number;
}

/** Returns the code, the table and the message. */
export function entryCheck(architecture: Processor, expected: ExpectedProgram): Uint8Array {
  const { slot, address, length, ending, entry } = expected;
  const message = Buffer.from(MESSAGE);
  const code = Buffer.from(CODE[architecture], "hex");
  const end = address + 8 + length - COMPARED_BYTES;
  const before = quads(slot, address, length, end);
  return Buffer.concat([code, before, ending, quads(entry, message.length), message]);
}

/**
 * Makes the executable start with the check, and makes a section include the address of the program, so that tools that
 * keep only sections, such as strip(1), keep all that a start needs. Throws Error if the layout of the executable or of
 * the runtime in it differs from that of the pinned runtime.
 */
export function addEntryCheck(program: ElfFile, runtime: ElfFile, architecture: Processor): void {
  const slot = runtime.section(PROGRAM_SECTION);
  const { address, size } = program.section(PROGRAM_SECTION);
  const length = program.number(address);
  if (slot.size !== 8 || length + 8 !== size) throw new Error(`${PROGRAM_SECTION} has another layout`);
  program.enlargeSection(slot);
  const stored = program.number(slot.address);
  if (stored !== address)
    throw new Error(`${PROGRAM_SECTION} is at ${address}, the runtime looks at ${stored}`);
  const ending = program.read({ address: address + size - COMPARED_BYTES, size: COMPARED_BYTES });
  const expected = { slot: slot.address, address, length, ending, entry: program.entry };
  program.entry = overwriteFunction(program, UNUSED_FUNCTION, entryCheck(architecture, expected));
}
